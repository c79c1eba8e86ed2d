//! Puts what a status comment says into one line for programs, which people do not see.
//! It is written and never read: nothing of ours believes it, because whoever may write can edit a comment.
//! What it holds is the output `result` without the run's own part, so that there is one thing to know and one version of it.

use super::{
    outputs::{self, shell_safe},
    view::StatusView,
};
use serde_json::Value;

const BEGIN: &str = "<!-- preview-action result ";
const END: &str = " -->";

/// Characters that it may take of the comment.
const LONGEST: usize = 6_000;

/// What goes first where there is too much; the last three are enough to look for the rest elsewhere.
const LISTS: [&str; 8] = [
    "services", "images", "warnings", "pruned", "failures", "holders", "cause", "remedy",
];

/// The line.
pub(super) fn hidden(view: &StatusView) -> String {
    let mut result = outputs::standing(view);
    let mut text = shell_safe(&result);
    if text.len() > LONGEST
        && let Some(fields) = result.as_object_mut()
    {
        fields.retain(|name, _| !LISTS.contains(&name.as_str()));
        fields.insert("cut".into(), true.into());
        text = shell_safe(&result);
    }
    if text.len() > LONGEST
        && let Some(fields) = result.as_object_mut()
    {
        fields.remove("urls");
        fields.remove("url");
        text = shell_safe(&result);
    }
    format!("{BEGIN}{}{END}", unmarked(&text))
}

/// The JSON with nothing in it that ends a comment, as two hyphens do for some readers of HTML, or calls anybody.
fn unmarked(json: &str) -> String {
    json.replace("--", "-\\u002d").replace('@', "\\u0040")
}

/// A body whose line says how long the preview lives now; what is no such line goes.
pub(super) fn with_life(body: &str, view: &StatusView) -> String {
    let mut lines: Vec<String> = body.split('\n').map(str::to_owned).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(BEGIN)) else {
        return body.to_owned();
    };
    let json = lines[at].trim_end().strip_prefix(BEGIN);
    let read = json.and_then(|line| serde_json::from_str::<Value>(line.strip_suffix(END)?).ok());
    match read {
        Some(mut result) if result.is_object() => {
            result["expires"] = view.expires.map(|at| at.to_string()).into();
            lines[at] = format!("{BEGIN}{}{END}", unmarked(&shell_safe(&result)));
        }
        _ => {
            lines.remove(at);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::names::State;
    use jiff::Timestamp;

    fn view() -> StatusView {
        let repository = "acme/shop".parse().unwrap();
        let pr = "7".parse().unwrap();
        StatusView::new(
            State::Ready,
            "https://github.example",
            repository,
            pr,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn read(line: &str) -> Value {
        let json = line.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
        assert!(!json.contains("--") && !json.contains('>'), "{json}");
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn whatever_a_text_holds_it_stays_one_comment() {
        let mut view = view();
        view.warnings = vec!["a --> b ---- <!-- \n # c --!> -".into()];
        let line = hidden(&view);
        assert_eq!(line.lines().count(), 1);
        let read = read(&line);
        assert_eq!(read["version"], 1);
        assert_eq!(read["state"], "ready");
        assert_eq!(read["pr"], 7);
        assert_eq!(read["warnings"][0], view.warnings[0].as_str());
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let mut view = view();
        view.warnings = vec!["long ".repeat(3_000)];
        let line = hidden(&view);
        assert!(line.len() < LONGEST + 50, "{}", line.len());
        let read = read(&line);
        assert_eq!(
            (&read["cut"], &read["state"]),
            (&true.into(), &"ready".into())
        );
        assert!(read["warnings"].is_null());
    }

    #[test]
    fn a_new_expiry_is_told_and_a_broken_line_goes() {
        let mut view = view();
        let body = format!("marker\n{}\n### heading", hidden(&view));
        view.expires = Some(Timestamp::UNIX_EPOCH);
        let changed = with_life(&body, &view);
        let line = changed.lines().nth(1).unwrap();
        assert_eq!(read(line)["expires"], "1970-01-01T00:00:00Z");
        let broken = format!("marker\n{BEGIN}{{{END}\n### heading");
        assert_eq!(with_life(&broken, &view), "marker\n### heading");
        assert_eq!(
            with_life("marker\n### heading", &view),
            "marker\n### heading"
        );
    }
}
