//! Comments made of pieces of commands, put together by chance, held to the rules of a command.
//! A fuzzer finds texts that nobody thinks of; this finds those that are nearly right, in a second.
//! `FUZZ_SECONDS` makes it go on for so long, with further seeds.

use super::rules::hold;
use crate::dice::Dice;
use preview_action::trigger::command::{COMMANDS, FirstLine, parse};
use std::time::{Duration, Instant};

const PIECES: [&str; 52] = [
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\u{b}",
    "\u{c}",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "\u{2028}",
    "/",
    "//",
    "\\",
    "`",
    "```",
    "> ",
    "- ",
    "#",
    "#12",
    "12",
    "0",
    "-1",
    "--",
    "--take",
    "--take=",
    "--previous",
    "--container",
    "--purge-data",
    "web",
    "db.0",
    "WEB",
    "4f2a9c1",
    "4f2a9c1d7e8b3a5f6c0d9e8f7a6b5c4d3e2f1a0b",
    "4F2A9C1D7E8B3A5F6C0D9E8F7A6B5C4D3E2F1A0B",
    "2d",
    "90m",
    "91d",
    "99999999999999999999d",
    "please",
    "prod",
    "deploy",
    "<!-- preview-action",
    "\u{1f680}",
    "é",
    "\u{0}",
    "::error::",
    "$(reboot)",
    ";",
];

/// Texts that are drawn at least.
const TEXTS: u32 = 200_000;

#[test]
fn whatever_is_written_only_an_exact_first_line_is_a_command() {
    let seconds = std::env::var("FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(0);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut dice = Dice::thrown();
    let (mut drawn, mut commands, mut mistakes) = (0, 0, 0);
    while drawn < TEXTS || Instant::now() < until {
        let body = draw(&mut dice);
        hold(&body);
        drawn += 1;
        match parse(&body) {
            Some(FirstLine::Command(_)) => commands += 1,
            Some(_) => mistakes += 1,
            None => {}
        }
    }
    println!(
        "{drawn} texts of seed {}: {commands} commands, {mistakes} mistakes",
        dice.seed
    );
    // Otherwise what is drawn is never near to anything.
    assert!(
        commands > drawn / 50 && mistakes > drawn / 50,
        "{commands} and {mistakes} of {drawn}"
    );
}

/// A command or nearly one, and pieces before, within and behind it.
fn draw(dice: &mut Dice) -> String {
    let mut body = String::new();
    if dice.below(4) == 0 {
        body.push_str(dice.one_of::<&str>(&PIECES));
    }
    let command = *dice.one_of::<&str>(&COMMANDS);
    match dice.below(4) {
        0 => {
            let at = 1 + dice.below(command.len() - 1);
            body.push_str(&command[..at]);
            body.push_str(dice.one_of::<&str>(&PIECES));
            body.push_str(&command[at..]);
        }
        1 => {
            let at = dice.below(command.len());
            body.extend(
                command
                    .char_indices()
                    .filter(|(n, _)| *n != at)
                    .map(|(_, c)| c),
            );
        }
        _ => body.push_str(command),
    }
    for _ in 0..dice.below(5) {
        if dice.below(2) == 0 {
            body.push(' ');
        }
        body.push_str(dice.one_of::<&str>(&PIECES));
    }
    body
}
