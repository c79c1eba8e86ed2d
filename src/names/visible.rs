//! What people see of a text: without terminal colours, control, direction and zero-width characters.
//! It makes nothing harmless; escaping is for who writes the text out.
//! The redactor reads texts this way too, because what breaks a secret in two for a machine may not for a reader.

use std::{iter::Peekable, ops::Range, str::CharIndices};

/// The text without what cannot be seen; line ends become `\n`, tabs four blanks.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    each(text, |_, c| match c {
        '\t' => out.push_str("    "),
        c => out.push(c),
    });
    out
}

/// The text, and where in it each of these stands, whatever unseen characters are in between; none when nothing is unseen.
pub(super) fn hidden_in(text: &str, words: &[String]) -> Vec<Range<usize>> {
    if !text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t') || invisible(c)) {
        return Vec::new();
    }
    let (mut seen, mut from) = (String::with_capacity(text.len()), Vec::new());
    each(text, |at, c| {
        seen.push(c);
        from.resize(seen.len(), at);
    });
    let found = words
        .iter()
        .flat_map(|word| seen.match_indices(word.as_str()));
    let mut found: Vec<_> = found
        .filter_map(|(at, word)| Some(*from.get(at)?..*from.get(at + word.len() - 1)?))
        .collect();
    found.sort_by_key(|range| range.start);
    found
}

/// Hands over each character that is seen, with where it stands.
fn each(text: &str, mut see: impl FnMut(usize, char)) {
    let mut rest = text.char_indices().peekable();
    while let Some((at, c)) = rest.next() {
        match c {
            '\u{1b}' => skip_escape(&mut rest),
            '\r' if rest.peek().is_some_and(|next| next.1 == '\n') => {}
            '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => see(at, '\n'),
            '\n' | '\t' => see(at, c),
            c if c.is_control() || invisible(c) => {}
            c => see(at, c),
        }
    }
}

/// Skips what follows an escape character: `[…m` and other control sequences, or a single character.
fn skip_escape(rest: &mut Peekable<CharIndices<'_>>) {
    let mut next = |wanted: &dyn Fn(char) -> bool| rest.next_if(|next| wanted(next.1));
    match next(&|c| matches!(c, '[' | ']' | '(' | ')')) {
        Some((_, '[')) => {
            while next(&|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
            next(&|c| matches!(c, '\u{40}'..='\u{7e}'));
        }
        Some((_, ']')) => while next(&|c| !matches!(c, '\u{7}' | '\u{1b}' | '\n')).is_some() {},
        _ => {
            next(&|c| c.is_ascii_alphanumeric());
        }
    }
}

fn invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}
