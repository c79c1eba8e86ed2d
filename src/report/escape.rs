//! Turns untrusted text into Markdown that shows exactly that text and does nothing else.
//! It does not know where a text comes from; everything that is not ours by construction goes through here.
//! GitHub looks for mentions and references after it has rendered, so a backslash is not enough for those.

use crate::names::visible;
use std::{fmt::Write as _, iter::Peekable, str::Chars};

/// Breaks a mention, a reference or an address without being seen.
const BREAK: char = '\u{200b}';
/// Longest inline text in characters.
const INLINE_LIMIT: usize = 1_000;

/// Text in running Markdown.
pub(super) fn inline(text: &str) -> String {
    escaped(text, |out, c| out.extend(['\\', c]))
}

/// Text between HTML tags, where Markdown's backslash would be shown.
pub(super) fn html(text: &str) -> String {
    escaped(text, |out, c| {
        // writing to a String cannot fail
        let _ = write!(out, "&#{};", u32::from(c));
    })
}

/// Text with every character that means something taken for itself by `mark`.
fn escaped(text: &str, mark: impl Fn(&mut String, char)) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars().peekable();
    let mut before = None;
    while let Some(c) = rest.next() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '!' => mark(&mut out, c),
            '#' => {
                mark(&mut out, c);
                out.push(BREAK);
            }
            '@' => out.extend(['@', BREAK]),
            ':' if rest.peek() == Some(&'/') || opens_emoji(rest.clone()) => {
                out.extend([':', BREAK]);
            }
            // a list or a heading, at the start of a line only
            '-' | '+' | '=' if before.is_none() => mark(&mut out, c),
            '.' | ')'
                if out.bytes().all(|b| b.is_ascii_digit())
                    && rest.peek().is_none_or(|next| *next == ' ') =>
            {
                mark(&mut out, c);
            }
            c if c.is_ascii_alphanumeric() => {
                let mut word = String::from(c);
                while let Some(next) = rest.next_if(char::is_ascii_alphanumeric) {
                    word.push(next);
                }
                let reference = word.eq_ignore_ascii_case("gh") && rest.peek() == Some(&'-');
                let address =
                    word.to_ascii_lowercase().ends_with("www") && rest.peek() == Some(&'.');
                let commit = word.len() >= 7 && word.bytes().all(|b| b.is_ascii_hexdigit());
                if commit {
                    // a commit is linked from seven digits on
                    for at in (1..=(word.len() - 1) / 6).rev() {
                        word.insert(at * 6, BREAK);
                    }
                } else if reference || address {
                    word.push(BREAK);
                }
                out.push_str(&word);
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    out
}

/// Whether what follows a colon makes it an emoji such as `:tada:`.
fn opens_emoji(rest: Peekable<Chars<'_>>) -> bool {
    let mut length = 0;
    for c in rest {
        match c {
            ':' => return length > 0,
            c if c.is_ascii_alphanumeric() || "_+-".contains(c) => length += 1,
            _ => return false,
        }
    }
    false
}

/// A sentence of ours with untrusted names in it: what stands between two backticks becomes code, the rest is [`inline`].
pub(super) fn prose(text: &str) -> String {
    let text = one_line(text);
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        let closed = i + 1 < parts.len();
        match i % 2 {
            0 => push_inline(&mut out, part),
            _ if closed && !part.trim().is_empty() => out.push_str(&code(part)),
            _ => {
                let _ = write!(out, "\\`{}", keep_ends(part, inline));
                if closed {
                    out.push_str("\\`");
                }
            }
        }
    }
    out
}

fn push_inline(out: &mut String, part: &str) {
    out.push_str(&keep_ends(part, inline));
}

/// Applies an escape that trims, and gives the blanks at both ends back.
fn keep_ends(part: &str, escape: impl Fn(&str) -> String) -> String {
    let blank = |yes: bool| if yes { " " } else { "" };
    if part.trim().is_empty() {
        return blank(!part.is_empty()).into();
    }
    format!(
        "{}{}{}",
        blank(part.starts_with(' ')),
        escape(part),
        blank(part.ends_with(' '))
    )
}

/// Text as inline code, in a table too.
pub(super) fn code(text: &str) -> String {
    let text = one_line(text);
    if text.is_empty() {
        return String::new();
    }
    if text.contains('|') {
        // a table would need `\|` and other places would show the backslash: entities are right in both
        let mut out = String::from("<code>");
        for c in text.chars() {
            match c.is_alphanumeric() || c == ' ' {
                true => out.push(c),
                false => {
                    let _ = write!(out, "&#{};", u32::from(c));
                }
            }
        }
        return out + "</code>";
    }
    let fence = "`".repeat(longest_run(&text, '`') + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text as a fenced block, which must stand at the start of a line.
pub(super) fn block(text: &str) -> String {
    // nothing but our own first line may begin like our marker
    let text = visible(text).replace("<!-- preview", "<!--\u{200b} preview");
    let text = text.trim_matches('\n');
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    format!("{fence}text\n{text}\n{fence}")
}

fn longest_run(text: &str, of: char) -> usize {
    text.split(|c| c != of).map(str::len).max().unwrap_or(0)
}

/// One trimmed line of bounded length.
fn one_line(text: &str) -> String {
    let line = visible(text)
        .split_whitespace()
        .fold(String::new(), |mut line, word| {
            if !line.is_empty() {
                line.push(' ');
            }
            line + word
        });
    match line.char_indices().nth(INLINE_LIMIT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_text_shows_itself_and_does_nothing() {
        for (text, shown) in [
            ("plain words", "plain words"),
            ("ping @org/team", "ping @\u{200b}org/team"),
            ("see #12 or GH-12", "see \\#\u{200b}12 or GH\u{200b}-12"),
            ("<b>x</b> &lt;", "&lt;b&gt;x&lt;/b&gt; &amp;lt;"),
            ("![x](y)", "\\!\\[x\\](y)"),
            ("https://evil.test", "https:\u{200b}//evil.test"),
            ("www.evil.test", "www\u{200b}.evil.test"),
            ("at 0123abc", "at 0123ab\u{200b}c"),
            (":tada: 12:30", ":\u{200b}tada: 12:30"),
            ("- item", "\\- item"),
            ("1. item", "1\\. item"),
            ("0.7 s", "0.7 s"),
            ("a | b", "a \\| b"),
            ("$x$", "\\$x\\$"),
            ("a\u{202e}b\u{200b}c\u{0}d", "abcd"),
            ("a\n\n# b", "a \\#\u{200b} b"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
        ] {
            assert_eq!(inline(text), shown, "{text:?}");
        }
        assert_eq!(html("a_b <i> @x"), "a&#95;b &lt;i&gt; @\u{200b}x");
        assert!(inline(&"x".repeat(5_000)).chars().count() <= INLINE_LIMIT + 1);
    }

    #[test]
    fn prose_keeps_code_and_nothing_else() {
        assert_eq!(
            prose("Secret `db` has no key `url`"),
            "Secret `db` has no key `url`"
        );
        assert_eq!(prose("no *stars* in `a*b`"), "no \\*stars\\* in `a*b`");
        assert_eq!(prose("one ` alone @x"), "one \\` alone @\u{200b}x");
        assert_eq!(prose("a `` b"), "a \\`\\` b");
    }

    #[test]
    fn code_and_blocks_cannot_be_left() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
        assert_eq!(code("a|b"), "<code>a&#124;b</code>");
        assert_eq!(code(""), "");
        assert_eq!(block("x\n````\ny\n"), "`````text\nx\n````\ny\n`````");
    }
}
