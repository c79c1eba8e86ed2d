//! Turns the patterns of the input `paths` into one that files can be held against, by the rules of a workflow's own `paths`.
//! It reads no file and asks nobody what a pull request changes.
//! Matching is in proportion to pattern and path, whatever both look like: paths are what strangers call their files.

use super::reader::{Problem, shown};

/// Patterns of files, of which the last one that fits decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Vec<PathPattern>);

/// One pattern, as in `paths:` of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern {
    text: String,
    excludes: bool,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    what: What,
    often: Often,
}

/// What one character may be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// This one.
    Char(char),
    /// One of these.
    OneOf(Vec<(char, char)>),
    /// Any but a slash.
    InName,
    /// Any.
    Any,
    /// Whole folders, each with its slash.
    Folders,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Often {
    Once,
    AtMostOnce,
    AtLeastOnce,
    AtWill,
}

impl Paths {
    /// These patterns; none when there are none.
    pub(super) fn of(patterns: Vec<PathPattern>) -> Result<Option<Self>, Problem> {
        if patterns.is_empty() {
            return Ok(None);
        }
        if patterns.iter().all(|pattern| pattern.excludes) {
            return Err(Problem::new(
                "has only patterns with `!`, so nothing is left",
                "write a pattern such as `**` before them",
            ));
        }
        Ok(Some(Self(patterns)))
    }

    /// The patterns as they were written, one a line.
    pub fn written(&self) -> String {
        let texts: Vec<&str> = self.0.iter().map(|pattern| pattern.text.as_str()).collect();
        texts.join("\n")
    }

    /// True when one of the files is wanted.
    pub fn want<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> bool {
        files.into_iter().any(|file| self.wants(file))
    }

    fn wants(&self, file: &str) -> bool {
        let last = self.0.iter().rev().find(|pattern| pattern.fits(file));
        last.is_some_and(|pattern| !pattern.excludes)
    }
}

impl PathPattern {
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let (excludes, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let bad = |problem: &str| {
            Err(Problem::new(
                format!("{} {problem}", shown(text)),
                "write a pattern as in `paths:` of a workflow, such as `src/**` or `!**.md`",
            ))
        };
        if rest.is_empty() {
            return bad("names no file");
        }
        if rest.starts_with('/') {
            return bad("begins with `/`, and files are named from the top of the repository");
        }
        match pieces(rest) {
            Ok(pieces) => Ok(Self {
                text: text.to_owned(),
                excludes,
                pieces,
            }),
            Err(problem) => bad(problem),
        }
    }

    fn fits(&self, path: &str) -> bool {
        let mut spots = Spots::at_begin(&self.pieces);
        for found in path.chars() {
            spots = spots.after(found);
        }
        spots.at_end()
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut chars = text.chars().peekable();
    let mut begins = true;
    while let Some(one) = chars.next() {
        let piece = |what, often| Piece { what, often };
        let new = match one {
            '*' if chars.next_if_eq(&'*').is_some() => {
                match begins && chars.next_if_eq(&'/').is_some() {
                    true => piece(What::Folders, Often::Once),
                    false => piece(What::Any, Often::AtWill),
                }
            }
            '*' => piece(What::InName, Often::AtWill),
            '?' | '+' => {
                let last = pieces.last_mut();
                match last.filter(|last| last.often == Often::Once && last.what != What::Folders) {
                    Some(last) if one == '?' => last.often = Often::AtMostOnce,
                    Some(last) => last.often = Often::AtLeastOnce,
                    None => return Err("has `?` or `+` behind nothing that could be repeated"),
                }
                continue;
            }
            '[' => piece(What::OneOf(set(&mut chars)?), Often::Once),
            '\\' => match chars.next() {
                Some(escaped) => piece(What::Char(escaped), Often::Once),
                None => return Err("ends with `\\`"),
            },
            plain => piece(What::Char(plain), Often::Once),
        };
        begins = matches!(new.what, What::Char('/') | What::Folders);
        pieces.push(new);
    }
    Ok(pieces)
}

/// What stands in brackets.
fn set(chars: &mut impl Iterator<Item = char>) -> Result<Vec<(char, char)>, &'static str> {
    let mut inside = Vec::new();
    for one in chars.by_ref() {
        if one == ']' {
            return ranges(&inside);
        }
        inside.push(one);
    }
    Err("has `[` without `]`")
}

fn ranges(inside: &[char]) -> Result<Vec<(char, char)>, &'static str> {
    let mut ranges = Vec::new();
    let mut rest = inside;
    loop {
        rest = match rest {
            [] if ranges.is_empty() => return Err("has nothing in brackets"),
            [] => return Ok(ranges),
            [from, '-', to, after @ ..] => {
                if from > to {
                    return Err("has a range in brackets that ends before it begins");
                }
                ranges.push((*from, *to));
                after
            }
            [one, after @ ..] => {
                ranges.push((*one, *one));
                after
            }
        };
    }
}

impl What {
    fn is(&self, found: char) -> bool {
        match self {
            Self::Char(one) => *one == found,
            Self::OneOf(ranges) => ranges
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&found)),
            Self::InName => found != '/',
            Self::Any | Self::Folders => true,
        }
    }
}

/// Everywhere in a pattern that a path may have come to: before each piece, and within it.
struct Spots<'a> {
    pieces: &'a [Piece],
    before: Vec<bool>,
    within: Vec<bool>,
}

impl<'a> Spots<'a> {
    fn none(pieces: &'a [Piece]) -> Self {
        let none = vec![false; pieces.len() + 1];
        Self {
            pieces,
            before: none.clone(),
            within: none,
        }
    }

    fn at_begin(pieces: &'a [Piece]) -> Self {
        let mut spots = Self::none(pieces);
        spots.reach(0);
        spots
    }

    /// Comes before this piece, and before whatever may follow without a character.
    fn reach(&mut self, mut at: usize) {
        loop {
            self.before[at] = true;
            let skips = |piece: &Piece| {
                piece.what == What::Folders
                    || matches!(piece.often, Often::AtMostOnce | Often::AtWill)
            };
            if !self.pieces.get(at).is_some_and(skips) {
                return;
            }
            at += 1;
        }
    }

    fn after(&self, found: char) -> Self {
        let mut next = Self::none(self.pieces);
        for (at, piece) in self.pieces.iter().enumerate() {
            if !(self.before[at] || self.within[at]) || !piece.what.is(found) {
                continue;
            }
            match (&piece.what, piece.often) {
                (What::Folders, _) => {
                    next.within[at] = true;
                    if found == '/' {
                        next.reach(at + 1);
                    }
                }
                (_, Often::AtWill) => next.reach(at),
                (_, Often::AtLeastOnce) => {
                    next.within[at] = true;
                    next.reach(at + 1);
                }
                (_, Often::Once | Often::AtMostOnce) => next.reach(at + 1),
            }
        }
        next
    }

    fn at_end(&self) -> bool {
        self.before.last() == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use rstest::rstest;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    /// The examples of GitHub's own cheat sheet.
    #[rstest]
    #[case("*", &["README.md", "server.rb"], &["docs/README.md"])]
    #[case("*.jsx?", &["page.js", "page.jsx"], &["page.jsxx", "a/page.js"])]
    #[case("**", &["all/the/files.md"], &[])]
    #[case("*.js", &["app.js", "index.js"], &["js/index.js"])]
    #[case("**.js", &["index.js", "js/index.js", "src/js/app.js"], &["js/index.ts"])]
    #[case("docs/*", &["docs/README.md", "docs/file.txt"], &["docs/mona/hello.md"])]
    #[case("docs/**", &["docs/README.md", "docs/mona/octocat.txt"], &["docs", "my-docs/a"])]
    #[case("docs/**/*.md", &["docs/README.md", "docs/mona/hello-world.md", "docs/a/markdown/file.md"], &["docs/a.txt"])]
    #[case("**/docs/**", &["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"], &["mydocs/a"])]
    #[case("**/README.md", &["README.md", "js/README.md"], &["js/MYREADME.md"])]
    #[case("**/*src/**", &["a/src/app.js", "my-src/code/js/app.js"], &["src.js"])]
    #[case("**/*-post.md", &["my-post.md", "path/their-post.md"], &["post.md"])]
    #[case("**/migrate-*.sql", &["migrate-10909.sql", "db/migrate-v1.0.sql", "db/sept/migrate-v1.sql"], &["migrate.sql"])]
    #[case("[CB]at", &["Cat", "Bat"], &["Rat", "at"])]
    #[case("v[12].[0-9]+.[0-9]+", &["v1.10.1", "v2.0.0"], &["v3.0.0", "v1..1"])]
    #[case("a\\*b", &["a*b"], &["axb", "ab"])]
    #[case(".github/*", &[".github/preview.yml"], &["github/preview.yml"])]
    fn a_pattern_fits_what_githubs_fits(
        #[case] text: &str,
        #[case] fitting: &[&str],
        #[case] other: &[&str],
    ) {
        for path in fitting {
            assert!(pattern(text).fits(path), "{text} does not fit {path}");
        }
        for path in other {
            assert!(!pattern(text).fits(path), "{text} fits {path}");
        }
    }

    #[test]
    fn the_last_pattern_that_fits_decides() {
        let paths = |patterns: &[&str]| {
            let patterns = patterns.iter().map(|text| pattern(text)).collect();
            Paths::of(patterns).unwrap().unwrap()
        };
        let back = paths(&["**", "!**.md", "docs/index.md"]);
        assert!(back.want(["src/a.rs"]) && back.want(["docs/index.md"]));
        assert!(!back.want(["README.md", "docs/a.md"]));
        assert!(
            back.want(["README.md", "src/a.rs"]),
            "one file that is wanted is enough"
        );
        assert!(!back.want([]));
        assert_eq!(Paths::of(Vec::new()), Ok(None));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, said) in [
            ("!", "names no file"),
            ("/src", "begins with `/`"),
            ("?x", "behind nothing"),
            ("a**+", "behind nothing"),
            ("[ab", "without `]`"),
            ("[]", "nothing in brackets"),
            ("[z-a]", "ends before it begins"),
            ("a\\", "ends with"),
        ] {
            let problem = PathPattern::parse(text).unwrap_err().problem;
            assert!(problem.contains(said), "{text}: {problem}");
        }
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let pattern = pattern(&"**a".repeat(40));
        let path = "a".repeat(4000) + "b";
        let begun = std::time::Instant::now();
        assert!(!pattern.fits(&path));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }
}
