//! Breaks JSON in the ways in which it breaks: keys go, types change, texts and nests grow, values change places.
//! It knows nothing of GitHub but where the fields are that somebody reads; half of what it does happens there.
//! What it does next is the dice's, so that a red run can be played again.

use crate::dice::Dice;
use serde_json::{Map, Value, json};

/// Pointers to what the action reads.
const READ: [&str; 27] = [
    "/action",
    "/number",
    "/repository",
    "/repository/id",
    "/repository/full_name",
    "/pull_request",
    "/pull_request/number",
    "/pull_request/state",
    "/pull_request/user/login",
    "/pull_request/head/sha",
    "/pull_request/head/ref",
    "/pull_request/head/repo",
    "/pull_request/base/repo/id",
    "/pull_request/base/sha",
    "/issue/number",
    "/issue/pull_request",
    "/comment/body",
    "/comment/user",
    "/comment/id",
    "/sender/login",
    "/inputs",
    "/workflow_run",
    "/workflow_run/conclusion",
    "/workflow_run/event",
    "/workflow_run/path",
    "/workflow_run/head_sha",
    "/workflow_run/head_repository",
];

/// Texts that mean something somewhere.
const WORDS: [&str; 20] = [
    "",
    "/deploy",
    "/deploy --take #1",
    "/undeploy\n/deploy",
    "> /deploy",
    "opened",
    "closed",
    "created",
    "completed",
    "open",
    "acme/shop",
    "../../etc/passwd",
    "dependabot[bot]",
    "4f2a9c1d7e8b3a5f6c0d9e8f7a6b5c4d3e2f1a0b",
    "4F2A9C1D7E8B3A5F6C0D9E8F7A6B5C4D3E2F1A0B",
    "\u{0}\u{1b}[2J\u{202e}\r\n::error::x",
    "#2",
    "2",
    "sweep",
    "<!-- preview-action v1 kind=status",
];

/// Breaks one payload after the other.
pub(super) struct Mutator<'d>(pub(super) &'d mut Dice);

impl Mutator<'_> {
    /// The payload with one to four things broken, as text; now and then the text itself is.
    pub(super) fn broken(&mut self, payload: &Value) -> String {
        let mut broken = payload.clone();
        for _ in 0..=self.0.below(4) {
            self.mutate(&mut broken);
        }
        let mut text = broken.to_string();
        match self.0.below(40) {
            0 => {
                let mut end = self.0.below(text.len());
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                text.truncate(end);
            }
            // Deeper than the parser goes.
            1 => text = format!("{{\"action\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000)),
            // The second one counts, and nobody may trip over it.
            2 if text.starts_with('{') => text.insert_str(1, "\"action\":\"opened\","),
            _ => {}
        }
        text
    }

    fn mutate(&mut self, payload: &mut Value) {
        if self.0.below(2) == 0 {
            let pointer = *self.0.one_of(&READ);
            if self.0.below(4) == 0 {
                remove(payload, pointer);
            } else {
                let new = self.value();
                if let Some(place) = payload.pointer_mut(pointer) {
                    *place = new;
                }
            }
            return;
        }
        let new = self.value();
        let place = self.somewhere(payload);
        match (self.0.below(3), place) {
            (0, Value::Object(fields)) => {
                if let Some(key) = fields
                    .keys()
                    .nth(self.0.below(fields.len().max(1)))
                    .cloned()
                {
                    fields.remove(&key);
                }
            }
            (1, Value::Object(fields)) => {
                if let Some(key) = fields
                    .keys()
                    .nth(self.0.below(fields.len().max(1)))
                    .cloned()
                {
                    fields.insert(key, new);
                }
            }
            (_, place) => *place = new,
        }
    }

    /// A place in a value, reached by walking down at random.
    fn somewhere<'a>(&mut self, value: &'a mut Value) -> &'a mut Value {
        let mut at = value;
        for _ in 0..self.0.below(5) {
            let children = match at {
                Value::Object(fields) => fields.len(),
                Value::Array(items) => items.len(),
                _ => 0,
            };
            if children == 0 {
                break;
            }
            let chosen = self.0.below(children);
            let child = match at {
                Value::Object(fields) => fields.values_mut().nth(chosen),
                Value::Array(items) => items.get_mut(chosen),
                _ => None,
            };
            // There are as many children as were counted.
            at = child.unwrap();
        }
        at
    }

    /// A value of any type and size.
    fn value(&mut self) -> Value {
        match self.0.below(14) {
            0 => Value::Null,
            1 => json!(self.0.below(2) == 0),
            2 => json!(0),
            3 => json!(-1),
            4 => json!(u64::MAX),
            5 => json!(1.5e300),
            6 => json!(self.0.below(1_000_000)),
            7 => json!([]),
            8 => json!({}),
            9 => json!("x".repeat(1 << self.0.below(17))),
            10 => self.nested(),
            11 => json!([self.0.below(9), null, "opened", {"id": 1}]),
            _ => json!(self.0.one_of(&WORDS)),
        }
    }

    /// As deep as the parser still goes.
    fn nested(&mut self) -> Value {
        let mut value = json!("deep");
        for _ in 0..self.0.below(100) {
            value = match self.0.below(2) {
                0 => Value::Array(vec![value]),
                _ => Value::Object(Map::from_iter([("id".to_owned(), value)])),
            };
        }
        value
    }
}

fn remove(payload: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else {
        return;
    };
    if let Some(fields) = payload.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.remove(key);
    }
}
