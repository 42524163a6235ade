//! The only place that prints. stdout is data, stderr is talk.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "every other module prints through this one")]

use std::io::{self, Write};

use serde::Serialize;

use crate::args::Format;

/// Where a command's words go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// How data is written.
    pub format: Format,
    /// Whether talk is left out.
    pub quiet: bool,
}

impl Output {
    /// Data for a person, or one JSON object (on one line) for a program.
    ///
    /// `text` is asked only when it is wanted.
    pub(crate) fn data<T: Serialize>(&self, json: &T, text: impl FnOnce() -> String) {
        match self.format {
            Format::Text => write_out(text().trim_end()),
            Format::Json => write_out(&serde_json::to_string(json).unwrap_or_default()),
        }
    }

    /// One line of data, as it is.
    pub(crate) fn line(&self, line: &str) {
        write_out(line);
    }

    /// Talk: left out with `-q`.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// What went wrong: never left out.
pub(crate) fn complain(message: &str) {
    eprintln!("error: {message}");
}

/// Asks a person on the terminal; `false` unless the answer is yes.
#[must_use]
pub(crate) fn confirm(question: &str) -> bool {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let _ = io::stderr().flush();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// A closed pipe (`| head`) is the reader's choice and no error of ours.
fn write_out(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}
