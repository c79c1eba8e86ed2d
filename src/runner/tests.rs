#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;
use rstest::rstest;
use std::sync::Arc;

/// What the runner would have read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const VARIABLES: [(&str, &str); 18] = [
    ("GITHUB_ACTIONS", "true"),
    ("GITHUB_EVENT_NAME", "pull_request"),
    ("GITHUB_EVENT_PATH", "/github/workflow/event.json"),
    ("GITHUB_API_URL", "https://ghe.example.com/api/v3/"),
    ("GITHUB_SERVER_URL", "https://ghe.example.com"),
    ("GITHUB_REPOSITORY", "acme/web"),
    ("GITHUB_REPOSITORY_ID", "4711"),
    ("GITHUB_RUN_ID", "99"),
    ("GITHUB_RUN_ATTEMPT", "1"),
    ("GITHUB_WORKSPACE", "/github/workspace"),
    ("GITHUB_ACTOR", "alice"),
    ("GITHUB_TRIGGERING_ACTOR", "bob"),
    ("GITHUB_OUTPUT", ""),
    ("GITHUB_ACTION_REPOSITORY", "mirrors/preview-action"),
    ("GITHUB_ACTION_REF", "v1"),
    ("RUNNER_TEMP", "/github/runner_temp"),
    ("RUNNER_DEBUG", "1"),
    ("PATH", "/bin"),
];

/// The usual variables, some replaced; an empty one counts as absent.
fn context(changes: &[(&str, &str)]) -> Result<Option<Context>, RunnerError> {
    let variables: BTreeMap<String, String> = VARIABLES
        .iter()
        .chain(changes)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Context::from_variables(variables)
}

fn runner(changes: &[(&str, &str)]) -> (Runner, Page) {
    let page = Page::default();
    let context = context(changes).unwrap().unwrap();
    (
        Runner::new(context, Redaction::default(), page.clone()),
        page,
    )
}

#[test]
fn the_context_is_what_the_runner_says() {
    assert_eq!(
        context(&[]).unwrap().unwrap(),
        Context {
            api_url: "https://ghe.example.com/api/v3".into(),
            server_url: "https://ghe.example.com".into(),
            repository: "acme/web".parse().unwrap(),
            repository_id: Some(crate::names::RepoId(4711)),
            event_name: "pull_request".into(),
            event_path: "/github/workflow/event.json".into(),
            run_id: 99,
            run_attempt: 1,
            workflow: None,
            workflow_sha: None,
            workspace: "/github/workspace".into(),
            output: None,
            summary: None,
            actor: "alice".into(),
            triggering_actor: "bob".into(),
            action: Some(("mirrors/preview-action".into(), "v1".into())),
            debug: true,
            temp: "/github/runner_temp".into(),
        }
    );
}

#[rstest]
#[case("GITHUB_ACTIONS", "")]
#[case("GITHUB_ACTIONS", "false")]
#[case("GITHUB_EVENT_NAME", "")]
fn outside_of_a_workflow_there_is_no_context(#[case] name: &str, #[case] value: &str) {
    assert_eq!(context(&[(name, value)]).unwrap(), None);
}

#[test]
fn what_older_runners_do_not_say_has_a_stand_in() {
    let context = context(&[
        ("GITHUB_REPOSITORY_ID", ""),
        ("GITHUB_TRIGGERING_ACTOR", ""),
        ("GITHUB_RUN_ATTEMPT", ""),
        ("RUNNER_TEMP", ""),
        ("RUNNER_DEBUG", "0"),
    ])
    .unwrap()
    .unwrap();
    assert_eq!(context.repository_id, None);
    assert_eq!(context.triggering_actor, "alice");
    assert_eq!(context.run_attempt, 1);
    assert_eq!(context.temp, context.workspace);
    assert!(!context.debug);
}

#[rstest]
#[case("GITHUB_API_URL", "")]
#[case("GITHUB_API_URL", "ghe.example.com")]
#[case("GITHUB_API_URL", "file:///etc/passwd")]
#[case("GITHUB_SERVER_URL", "https://")]
#[case("GITHUB_SERVER_URL", "https://a b")]
#[case("GITHUB_REPOSITORY", "acme")]
#[case("GITHUB_REPOSITORY_ID", "x")]
#[case("GITHUB_RUN_ID", "")]
#[case("GITHUB_RUN_ID", "-1")]
#[case("GITHUB_EVENT_PATH", "")]
fn a_wrong_variable_is_named(#[case] name: &str, #[case] value: &str) {
    let error = context(&[(name, value)]).unwrap_err().to_string();
    assert!(error.contains(name), "{error}");
}

#[test]
fn the_log_is_on_the_same_server_and_the_jobs_own_where_its_number_is_known() {
    let log_url = |attempt, job| {
        context(&[("GITHUB_RUN_ATTEMPT", attempt)])
            .unwrap()
            .unwrap()
            .log_url(job)
    };
    let first = "https://ghe.example.com/acme/web/actions/runs/99";
    assert_eq!(log_url("1", None), first);
    assert_eq!(log_url("2", None), format!("{first}/attempts/2"));
    // Each attempt has jobs of its own.
    let job = format!("{first}/job/51725241954");
    assert_eq!(log_url("2", Some(51_725_241_954)), job);
}

#[test]
fn an_event_file_that_is_missing_is_named() {
    let (runner, _) = runner(&[("GITHUB_EVENT_PATH", "/nowhere/event.json")]);
    let error = runner.context().payload().unwrap_err().to_string();
    assert!(error.contains("/nowhere/event.json"), "{error}");
}

#[test]
fn a_secret_is_masked_in_all_its_forms_once() {
    let (runner, page) = runner(&[]);
    runner.mask("100% secret\nline-two").unwrap();
    let first = page.text();
    assert!(
        first.starts_with("::add-mask::"),
        "masks come first: {first}"
    );
    for form in [
        "::add-mask::100%25 secret%0Aline-two\n",
        "::add-mask::100%25 secret\n",
        "::add-mask::line-two\n",
        "::add-mask::100%2525%2520secret\n",
    ] {
        assert!(first.contains(form), "{form} in {first}");
    }
    runner.mask("100% secret\nline-two").unwrap();
    assert_eq!(page.text(), first, "nothing new");
}

#[test]
fn a_short_word_is_not_masked() {
    let (runner, page) = runner(&[]);
    runner.mask("web").unwrap();
    runner.mask(" \n ").unwrap();
    assert_eq!(page.text(), "");
}

#[test]
fn everything_that_leaves_is_redacted() {
    let folder = tempfile::tempdir().unwrap();
    let (output, summary) = (folder.path().join("output"), folder.path().join("summary"));
    std::fs::write(&output, "").unwrap();
    std::fs::write(&summary, "").unwrap();
    let (runner, page) = runner(&[
        ("GITHUB_OUTPUT", output.to_str().unwrap()),
        ("GITHUB_STEP_SUMMARY", summary.to_str().unwrap()),
    ]);
    runner.mask("hunter2:hunter2").unwrap();
    let masks = page.text().len();
    let text = "a hunter2:hunter2 z";
    runner.say(text).unwrap();
    runner.quote(text).unwrap();
    runner.group(text).unwrap();
    let place = Annotation::new(Level::Error, text).titled(text);
    runner.annotate(&place.at(text, Some(1))).unwrap();
    assert!(runner.outputs(&[("result", text)]).unwrap());
    assert!(runner.summary(text).unwrap());
    let written = [
        page.text().split_off(masks),
        std::fs::read_to_string(output).unwrap(),
        std::fs::read_to_string(summary).unwrap(),
    ];
    for written in written {
        assert!(written.contains("a *** z"), "{written}");
        assert!(!written.contains("hunter2"), "{written}");
    }
}

#[test]
fn messages_and_properties_are_escaped_as_the_runner_reads_them() {
    let (runner, page) = runner(&[]);
    runner.group("50%\r\n::error::x").unwrap();
    runner.end_group().unwrap();
    let annotation = Annotation::new(Level::Warning, "one\ntwo: a,b")
        .titled("a: b, c%")
        .at("deploy/web.yaml", Some(7));
    runner.annotate(&annotation).unwrap();
    runner
        .annotate(&Annotation::new(Level::Notice, "plain"))
        .unwrap();
    assert_eq!(
        page.text(),
        "::group::50%25%0D%0A: :error::x\n\
         ::endgroup::\n\
         ::warning file=deploy/web.yaml,line=7,title=a%3A b%2C c%25::one%0Atwo: a,b\n\
         ::notice::plain\n"
    );
}

#[test]
fn the_eleventh_annotation_of_a_level_is_a_line() {
    let (runner, page) = runner(&[]);
    for number in 0..12 {
        let error = Annotation::new(Level::Error, format!("number {number}"));
        runner.annotate(&error.at("a.yaml", Some(number))).unwrap();
    }
    runner
        .annotate(&Annotation::new(Level::Warning, "another level"))
        .unwrap();
    let text = page.text();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("::error "))
            .count(),
        10
    );
    assert!(
        text.contains("\nerror: a.yaml:10: number 10\nerror: a.yaml:11: number 11\n"),
        "{text}"
    );
    assert!(text.ends_with("::warning::another level\n"), "{text}");
}

#[test]
fn a_long_message_is_cut_at_4096_characters() {
    let (runner, page) = runner(&[]);
    runner
        .annotate(&Annotation::new(Level::Error, "ä".repeat(5000)))
        .unwrap();
    let text = page.text();
    let message = text.trim_end().strip_prefix("::error::").unwrap();
    assert_eq!(message.chars().count(), 4096);
    assert!(message.ends_with("ä…"));
}

#[test]
fn a_quoted_text_stands_between_a_token_that_is_new_each_time() {
    let (runner, page) = runner(&[]);
    let foreign = "::error::x\n ::add-mask::y\r::debug::z ##[group]g";
    runner.quote(foreign).unwrap();
    runner.quote("more").unwrap();
    let text = page.text();
    let lines: Vec<&str> = text.split('\n').collect();
    let tokens: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("::stop-commands::"))
        .collect();
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);
    assert!(tokens.iter().all(|token| token.len() == 32));
    let resumed = |token: &&str| lines.iter().any(|line| *line == format!("::{token}::"));
    assert!(tokens.iter().all(resumed), "{text}");
    assert!(
        text.contains(": :error::x\n : :add-mask::y\r: :debug::z ## [group]g"),
        "{text}"
    );
}

#[test]
fn an_output_with_a_strange_name_is_refused() {
    for name in ["", "a=b", "a<<b", "a\nb", "ä"] {
        let error = files::entry(name, "x", "D").unwrap_err();
        assert!(matches!(error, RunnerError::Output { .. }), "{name}");
    }
    assert!(files::entry("url", "before D after", "D").is_err());
    assert!(files::entry("reason-code", "x", "D").is_ok());
}

#[test]
fn without_a_file_nothing_is_written_and_nothing_fails() {
    let (absent, _) = runner(&[]);
    assert!(!absent.outputs(&[("url", "x")]).unwrap());
    assert!(!absent.summary("x").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not-made");
    let (unmade, _) = runner(&[
        ("GITHUB_OUTPUT", path.to_str().unwrap()),
        ("GITHUB_STEP_SUMMARY", path.to_str().unwrap()),
    ]);
    assert!(!unmade.outputs(&[("url", "x")]).unwrap());
    assert!(!unmade.summary("x").unwrap());
    assert!(!path.exists());
}

#[test]
fn a_summary_stays_below_900_kib_and_says_that_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("summary");
    std::fs::write(&path, "before\n").unwrap();
    let (runner, _) = runner(&[("GITHUB_STEP_SUMMARY", path.to_str().unwrap())]);
    runner.summary("small\n").unwrap();
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "before\nsmall\n",
        "it is added to"
    );
    runner.summary(&"ä".repeat(600 * 1024)).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() <= 900 * 1024 && text.len() > 899 * 1024);
    assert!(
        text.ends_with("no more than 900 KiB._\n"),
        "{:?}",
        &text[text.len() - 60..]
    );
    runner.summary("no room left").unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() <= 900 * 1024);
}

#[test]
fn debug_shows_no_secret() {
    let (runner, _) = runner(&[]);
    runner.mask("hunter2hunter2").unwrap();
    assert!(!format!("{runner:?}").contains("hunter2"));
}

/// The runner's own reader of its files (`FileCommandManager.cs`, Linux), as exactly as Rust can say it.
fn read_as_the_runner(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut index = 0;
    let next_line = |index: &mut usize| -> Option<(String, bool)> {
        let rest = text.get(*index..).filter(|rest| !rest.is_empty())?;
        let (line, ended) = match rest.find('\n') {
            Some(end) => (&rest[..end], true),
            None => (rest, false),
        };
        *index += line.len() + usize::from(ended);
        Some((line.to_owned(), ended))
    };
    while let Some((line, _)) = next_line(&mut index) {
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                pairs.push((line[..at].to_owned(), line[at + 1..].to_owned()));
            }
            (_, Some(at)) => {
                let (name, delimiter) = (&line[..at], &line[at + 2..]);
                if name.is_empty() || delimiter.is_empty() {
                    return Err("empty name or delimiter".into());
                }
                let start = index;
                let mut end = index;
                loop {
                    let (line, ended) =
                        next_line(&mut index).ok_or("matching delimiter not found")?;
                    if line == delimiter {
                        break;
                    }
                    if !ended {
                        return Err("delimiter must be on its own line".into());
                    }
                    end = index - 1;
                }
                pairs.push((name.to_owned(), text[start..end.max(start)].to_owned()));
            }
            _ => return Err("invalid format".into()),
        }
    }
    Ok(pairs)
}

/// What the runner would take for a command in a line of output (`ActionCommand.cs`).
fn is_command(line: &str) -> bool {
    line.trim_start().starts_with("::") || line.contains("##[")
}

proptest! {
    #[test]
    fn the_runner_reads_back_what_was_written(
        values in prop::collection::vec("(\\PC|\n|\r|=|<<|ghadelimiter_){0,40}", 0..5),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("output");
        std::fs::write(&path, "").unwrap();
        let (runner, _) = runner(&[("GITHUB_OUTPUT", path.to_str().unwrap())]);
        let names: Vec<String> = (0..values.len()).map(|n| format!("name-{n}")).collect();
        let outputs: Vec<(&str, &str)> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        for half in outputs.chunks(2) {
            prop_assert!(runner.outputs(half).unwrap());
        }
        let expected: Vec<(String, String)> = names.into_iter().zip(values).collect();
        let text = std::fs::read_to_string(&path).unwrap();
        prop_assert_eq!(read_as_the_runner(&text), Ok(expected));
    }

    #[test]
    fn no_text_becomes_a_command(text in "( |\t|\n|\r|:|::|#|##\\[|\u{feff}|\u{a0}|\\PC){0,40}") {
        let clean = harmless(&text);
        prop_assert!(clean.split(['\n', '\r']).all(|line| !is_command(line)), "{:?}", clean);
        // Nothing but single spaces is added.
        let bare = |text: &str| text.replace([' '], "");
        prop_assert_eq!(bare(&clean), bare(&text));
    }

    #[test]
    fn a_cut_text_fits_and_is_a_beginning(text in "\\PC{0,400}", room in 0..300_usize) {
        let cut = files::fitting(&text, room);
        prop_assert!(cut.len() <= room);
        let kept = cut.find("\n\n_Cut here").map_or(cut.as_str(), |at| &cut[..at]);
        prop_assert!(text.starts_with(kept));
    }
}
