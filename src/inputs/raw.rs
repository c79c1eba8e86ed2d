//! Holds the inputs as the runner hands them over: trimmed, and absent when empty.
//! It knows no input by name and no meaning.
//! The runner sets a variable for every declared input, empty when nobody gave one, so empty and absent are the same here.

use std::collections::BTreeMap;

/// The inputs by name, lower case as in `action.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawInputs(BTreeMap<String, String>);

impl RawInputs {
    /// Takes every variable `INPUT_NAME`; the runner upper-cases names and keeps their hyphens.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        variables
            .into_iter()
            .filter_map(|(name, value)| {
                Some((name.strip_prefix("INPUT_")?.to_ascii_lowercase(), value))
            })
            .collect()
    }

    /// The value, trimmed; none when it is empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The lines of the value, each trimmed, blank ones dropped; a `#` has no meaning.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text(name)
            .unwrap_or_default()
            .split('\n')
            .map(str::trim)
            .filter(|line| !line.is_empty())
    }

    /// The inputs that somebody wrote and that nobody reads, each with the known one that it may have meant.
    pub fn unknown<'a>(&self, known: &[&'a str]) -> Vec<UnknownInput<'a>> {
        self.0
            .keys()
            .filter(|name| !known.contains(&name.as_str()))
            .map(|name| UnknownInput {
                name: name.clone(),
                meant: known
                    .iter()
                    .map(|known| (strsim::damerau_levenshtein(name, known), *known))
                    .filter(|(distance, known)| *distance <= 1 + known.len() / 5)
                    .min()
                    .map(|(_, known)| known),
            })
            .collect()
    }
}

/// An input that the action does not have: it is a warning, because the run can go on without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownInput<'a> {
    /// Name, as the runner hands it over.
    pub name: String,
    /// The known input that was probably meant.
    pub meant: Option<&'a str>,
}

impl std::fmt::Display for UnknownInput<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "input {:?} is not known and has no effect", self.name)?;
        match self.meant {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

impl FromIterator<(String, String)> for RawInputs {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(inputs: T) -> Self {
        Self(inputs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::RawInputs;

    #[test]
    fn empty_means_absent_and_hyphens_stay() {
        let raw = RawInputs::from_variables(
            [
                ("INPUT_MAX-PREVIEWS", " 5 \n"),
                ("INPUT_DOMAIN", "  "),
                ("PATH", "/bin"),
            ]
            .map(|(k, v)| (k.into(), v.into())),
        );
        assert_eq!(raw.text("max-previews"), Some("5"));
        assert_eq!(raw.text("domain"), None);
        assert_eq!(raw.text("token"), None);
    }

    #[test]
    fn lists_are_split_at_line_breaks_only_and_hashes_mean_nothing() {
        let raw: RawInputs = [("templates".into(), "\n a.yaml.j2 \r\n\n# b, c\n".to_owned())]
            .into_iter()
            .collect();
        assert_eq!(
            raw.lines("templates").collect::<Vec<_>>(),
            ["a.yaml.j2", "# b, c"]
        );
        assert_eq!(raw.lines("images").count(), 0);
    }

    #[test]
    fn an_unknown_input_is_named_with_the_one_that_was_meant() {
        let raw = RawInputs::from_variables(
            [
                ("INPUT_MAX_PREVIEWS", "5"),
                ("INPUT_TIMEOUT", "5m"),
                ("INPUT_TIMEOUTS", ""),
                ("INPUT_COLOUR", "red"),
            ]
            .map(|(k, v)| (k.into(), v.into())),
        );
        let unknown: Vec<String> = raw
            .unknown(&["max-previews", "timeout", "ttl"])
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            unknown,
            [
                "input \"colour\" is not known and has no effect",
                "input \"max_previews\" is not known and has no effect; did you mean `max-previews`?",
                "input \"timeouts\" is not known and has no effect; did you mean `timeout`?",
            ]
        );
    }
}
