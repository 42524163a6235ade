//! Why an operation on the queue file failed, in a form that can be told to everyone whose work was in the same
//! transaction.

use crate::broker::BrokerError;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// SQLite refused it.
    Failed(String),
    /// What is in the file does not read.
    Corrupt(String),
    /// The broker is closed.
    Closed,
}

impl Trouble {
    /// The error that callers see.
    pub(super) fn at(&self, place: &str) -> BrokerError {
        let place = place.to_owned();
        match self {
            Trouble::Failed(reason) => BrokerError::Failed { place, reason: reason.clone() },
            Trouble::Corrupt(reason) => BrokerError::Corrupt { place, reason: reason.clone() },
            Trouble::Closed => BrokerError::Closed,
        }
    }
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        let unreadable =
            matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..));
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Trouble::Corrupt(error.to_string())
            }
            _ if unreadable => Trouble::Corrupt(error.to_string()),
            Some(rusqlite::ErrorCode::DiskFull) => {
                Trouble::Failed(String::from("the disk is full: make room, nothing was lost"))
            }
            Some(rusqlite::ErrorCode::DatabaseBusy) => {
                Trouble::Failed(String::from("another command holds the queue file: try again when it is done"))
            }
            _ => Trouble::Failed(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn damage_is_told_from_a_passing_failure() {
        let error = |code| Trouble::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
        assert!(matches!(error(ffi::SQLITE_CORRUPT), Trouble::Corrupt(_)));
        assert!(matches!(error(ffi::SQLITE_NOTADB), Trouble::Corrupt(_)));
        assert!(matches!(error(ffi::SQLITE_IOERR), Trouble::Failed(_)));
        let Trouble::Failed(reason) = error(ffi::SQLITE_FULL) else { panic!("a full disk is not damage") };
        assert!(reason.contains("make room"), "{reason}");
    }
}
