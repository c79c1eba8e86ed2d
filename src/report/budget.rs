//! Cuts a text that GitHub would refuse, so that what is left is still sound Markdown.
//! It doesn't know what is important; whoever renders shortens the evidence first.
//! A cut in the middle of a fence or a fold would swallow everything after it.

/// How long a text may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub(super) characters: usize,
    pub(super) bytes: usize,
}

/// Below GitHub's limits for a comment: 65 536 characters, on some servers counted in bytes of up to 262 144.
pub(super) const COMMENT: Budget = Budget {
    characters: 60_000,
    bytes: 250_000,
};
/// Below the runner's limit for a job summary of 1 MiB.
pub(super) const SUMMARY: Budget = Budget {
    characters: usize::MAX,
    bytes: 900 << 10,
};

impl Budget {
    /// True when the text is short enough.
    pub(super) fn holds(self, text: &str) -> bool {
        text.len() <= self.bytes && text.chars().count() <= self.characters
    }

    /// The text, cut at a line or at least between characters, with fences and folds closed, and saying so.
    pub(super) fn cut(self, text: &str, notice: &str) -> String {
        if self.holds(text) {
            return text.to_owned();
        }
        // room for what closing adds
        let spare = notice.len() + 400;
        let bytes = self.bytes.saturating_sub(spare);
        let end = text
            .char_indices()
            .take(self.characters.saturating_sub(spare))
            .map(|(at, c)| at + c.len_utf8())
            .take_while(|&end| end <= bytes)
            .last()
            .unwrap_or(0);
        let kept = &text[..end];
        let kept = match kept.rfind('\n') {
            Some(line) if line > 0 => &kept[..line],
            _ => kept,
        };
        format!("{kept}\n{}\n\n{notice}\n", closing(kept))
    }
}

/// What closes the fences and folds that a text leaves open.
fn closing(text: &str) -> String {
    let mut fence: Option<usize> = None;
    let mut folds = 0_usize;
    for line in text.lines() {
        let ticks = line.bytes().take_while(|&b| b == b'`').count();
        match fence {
            Some(open) if ticks >= open && line.trim_end().len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                folds += line.matches("<details>").count();
                folds = folds.saturating_sub(line.matches("</details>").count());
            }
        }
    }
    let fence = fence.map_or_else(String::new, |ticks| "`".repeat(ticks) + "\n");
    format!("{fence}{}", "\n</details>\n".repeat(folds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_closes_what_is_open_and_says_so() {
        let budget = Budget {
            characters: 1_000,
            bytes: 1_000,
        };
        let text = format!(
            "<details><summary>x</summary>\n\n````text\n{}",
            "line 🦀\n".repeat(500)
        );
        let cut = budget.cut(&text, "It was cut.");
        assert!(budget.holds(&cut), "{}", cut.len());
        assert!(
            cut.ends_with("````\n\n</details>\n\n\nIt was cut.\n"),
            "{cut}"
        );
    }

    #[test]
    fn a_single_long_line_is_cut_between_characters() {
        let budget = Budget {
            characters: 900,
            bytes: 900,
        };
        let cut = budget.cut(&"🦀".repeat(5_000), "It was cut.");
        assert!(budget.holds(&cut) && cut.starts_with('🦀'), "{}", cut.len());
    }

    #[test]
    fn what_fits_is_left_alone() {
        assert_eq!(COMMENT.cut("x", "no"), "x");
    }
}
