//! Turns `labelSelector` and `fieldSelector` texts, and the selectors inside objects, into yes or no for an object.
//! It must not know requests or storage; it sees text and JSON.
//! Only the forms that clients send are understood; anything else is refused so that a typo does not select everything.

use serde_json::Value;

/// A condition on one label or field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A condition on labels and fields; the default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Term>,
    fields: Vec<Term>,
}

impl Selector {
    /// Reads both query texts; the error is the sentence of a 400.
    pub(super) fn parse(labels: &str, fields: &str) -> Result<Self, String> {
        let labels = split_terms(labels)
            .into_iter()
            .map(label_term)
            .collect::<Result<_, _>>()?;
        let fields = split_terms(fields)
            .into_iter()
            .map(field_term)
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    /// Tells whether an object is selected.
    pub(super) fn selects(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        let label = |name: &str| labels.get(name).and_then(Value::as_str);
        let field = |path: &str| {
            let value = path.split('.').try_fold(object, |at, step| at.get(step));
            value.and_then(Value::as_str)
        };
        self.labels.iter().all(|term| term.holds(label))
            && self.fields.iter().all(|term| term.holds(field))
    }
}

impl Term {
    fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        let among = |name: &str, values: &[String]| {
            value(name).is_some_and(|have| values.iter().any(|want| want == have))
        };
        match self {
            Self::Is(name, values) => among(name, values),
            Self::IsNot(name, values) => !among(name, values),
            Self::Exists(name) => value(name).is_some(),
            Self::Absent(name) => value(name).is_none(),
        }
    }
}

/// Splits at commas outside parentheses.
fn split_terms(text: &str) -> Vec<&str> {
    let mut depth = 0;
    let split = text.split(move |letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    split
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .collect()
}

fn label_term(text: &str) -> Result<Term, String> {
    let unreadable = || format!("unable to parse requirement: {text}");
    if let Some(name) = text.strip_prefix('!') {
        return Ok(Term::Absent(name.trim().to_owned()));
    }
    if let Some(term) = equality(text) {
        return Ok(term);
    }
    let mut words = text.splitn(2, char::is_whitespace);
    let name = words.next().unwrap_or_default().to_owned();
    let Some(rest) = words.next().map(str::trim) else {
        return Ok(Term::Exists(name));
    };
    let (operator, list) = rest.split_once('(').ok_or_else(unreadable)?;
    let list = list.strip_suffix(')').ok_or_else(unreadable)?;
    let values = list
        .split(',')
        .map(|value| value.trim().to_owned())
        .collect();
    match operator.trim() {
        "in" => Ok(Term::Is(name, values)),
        "notin" => Ok(Term::IsNot(name, values)),
        _ => Err(unreadable()),
    }
}

fn field_term(text: &str) -> Result<Term, String> {
    equality(text).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{text}'"))
}

fn equality(text: &str) -> Option<Term> {
    let of = |name: &str, value: &str| (name.trim().to_owned(), vec![value.trim().to_owned()]);
    if let Some((name, value)) = text.split_once("!=") {
        let (name, values) = of(name, value);
        return Some(Term::IsNot(name, values));
    }
    let (name, value) = text.split_once("==").or_else(|| text.split_once('='))?;
    let (name, values) = of(name, value);
    Some(Term::Is(name, values))
}

/// Tells whether a map such as `spec.selector` of a Service, or a `matchLabels`, selects an object; an empty one selects nothing.
pub(super) fn labels_match(wanted: &Value, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let wanted = wanted.as_object();
    wanted.is_some_and(|wanted| {
        !wanted.is_empty()
            && wanted
                .iter()
                .all(|(name, value)| labels.get(name) == Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(labels: &str, fields: &str) -> bool {
        let object = json!({
            "metadata": {"name": "web", "labels": {"app": "preview", "pr": "7"}},
            "involvedObject": {"uid": "u1"}, "type": "Warning",
        });
        Selector::parse(labels, fields).is_ok_and(|selector| selector.selects(&object))
    }

    #[test]
    fn labels_are_compared_listed_and_sought() {
        assert!(selects("app=preview,pr==7", ""));
        assert!(!selects("app=preview,pr=8", ""));
        assert!(selects("pr!=8", ""));
        assert!(selects("absent!=8", ""));
        assert!(selects("pr in (6, 7),app", ""));
        assert!(!selects("pr notin (6,7)", ""));
        assert!(selects("!slot", ""));
        assert!(!selects("slot", ""));
    }

    #[test]
    fn fields_are_found_by_their_path() {
        assert!(selects(
            "",
            "metadata.name=web,involvedObject.uid=u1,type=Warning"
        ));
        assert!(!selects("", "type!=Warning"));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(Selector::parse("pr maybe (7)", "").is_err());
        assert!(Selector::parse("pr in 7", "").is_err());
        assert!(Selector::parse("", "name").is_err());
    }
}
