//! How a command ends: the exit code as a type, and a failure as one sentence for a person.

use std::process::ExitCode;

/// The exit codes, for scripts to rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, and whole.
    Whole = 0,
    /// Something that we did not foresee.
    Unexpected = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The configuration, or something on this machine that it names, is wrong.
    Configuration = 3,
    /// A remote refused us: credentials or grants.
    Refused = 4,
    /// Finished, but something is dead or missing.
    Unfinished = 5,
    /// A second signal ended the process at once; the number is the one that shells use.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command cannot go on: what is wrong and what to do about it, in one sentence without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code it means.
    pub exit: Exit,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// Something that we did not foresee.
    pub(crate) fn unexpected(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Unexpected, message: message.into() }
    }

    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Usage, message: message.into() }
    }

    /// The configuration, or something that it names, is wrong.
    pub(crate) fn configuration(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Configuration, message: message.into() }
    }

    /// A remote refused us.
    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure { exit: Exit::Refused, message: message.into() }
    }
}

/// An error and its causes as one line: each source after a colon, none of them twice.
#[must_use]
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let codes = [
            (Exit::Whole, 0),
            (Exit::Unexpected, 1),
            (Exit::Usage, 2),
            (Exit::Configuration, 3),
            (Exit::Refused, 4),
            (Exit::Unfinished, 5),
            (Exit::Interrupted, 130),
        ];
        for (exit, code) in codes {
            assert_eq!(exit as u8, code);
        }
        assert_eq!(Failure::usage("x").exit, Exit::Usage);
        assert_eq!(Failure::configuration("x").exit, Exit::Configuration);
        assert_eq!(Failure::refused("x").exit, Exit::Refused);
        assert_eq!(Failure::unexpected("x").exit, Exit::Unexpected);
    }

    #[test]
    fn a_chain_of_causes_is_one_line_and_repeats_nothing() {
        #[derive(Debug, thiserror::Error)]
        #[error("the file does not open")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("no\nluck"));
        assert_eq!(chain(&error), "the file does not open: no luck");
    }
}
