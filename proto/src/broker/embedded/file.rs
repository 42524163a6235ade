//! Opens a queue file: whose it is, whether it is one, and whether this program can read it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::store::{APPLICATION_ID, SCHEMA, SCHEMA_VERSION, Store};
use super::trouble::Trouble;
use crate::broker::BrokerError;

/// How long a transaction waits for one of another process: `dead replay` beside a run.
const BUSY: Duration = Duration::from_secs(10);
/// The log is moved into the file when it has this many pages (16 MiB): each time costs two syncs.
const CHECKPOINT_PAGES: i64 = 4096;

/// Opens a file to work on it, alone: makes it where there is none, and makes ready again what an earlier process left
/// unsettled. The lock ends with the process, however it ends.
pub(super) fn own(path: &Path) -> Result<(Store, File), BrokerError> {
    if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !directory.is_dir()
    {
        let fix = format!(
            "the directory {} does not exist: create it, or name another file in `queue.path`",
            directory.display()
        );
        return Err(failed(path, fix));
    }
    let lock_path = lock_path(path);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
    let lock = lock.map_err(|error| failed(path, refused(&lock_path, &error)))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(BrokerError::Taken { place: path.display().to_string() }),
        Err(TryLockError::Error(error)) => return Err(failed(path, refused(&lock_path, &error))),
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    let at = |error: rusqlite::Error| Trouble::from(error).at(&path.display().to_string());
    if identify(&connection, path)? == Contents::Nothing {
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(at)?;
        if mode != "wal" {
            let fix = format!("its file system has no write-ahead log (it says `{mode}`): put it on a local disk");
            return Err(failed(path, fix));
        }
        create(&connection).map_err(at)?;
    }
    let store = Store::new(connection);
    let left = store.recover().map_err(at)?;
    if left > 0 {
        tracing::info!(path = %path.display(), messages = left, "an earlier process left messages unsettled: they come again");
    }
    Ok((store, lock))
}

/// Opens a file to look at it or to move what is dead, beside the process that works on it.
pub(super) fn visit(path: &Path) -> Result<Store, BrokerError> {
    let none = || failed(path, String::from("there is no queue file: `backhaul run` makes it"));
    if !path.exists() {
        return Err(none());
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    match identify(&connection, path)? {
        Contents::Queue => Ok(Store::new(connection)),
        Contents::Nothing => Err(none()),
    }
}

/// A queue in memory.
pub(super) fn memory() -> rusqlite::Result<Store> {
    let connection = Connection::open_in_memory()?;
    create(&connection)?;
    Ok(Store::new(connection))
}

#[derive(Debug, PartialEq, Eq)]
enum Contents {
    Nothing,
    Queue,
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, BrokerError> {
    let at = |error: rusqlite::Error| Trouble::from(error).at(&path.display().to_string());
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(at)?;
    connection.busy_timeout(BUSY).map_err(at)?;
    if connection.is_readonly("main").map_err(at)? {
        return Err(failed(path, refused(path, &io::Error::from(io::ErrorKind::PermissionDenied))));
    }
    for (pragma, value) in [("wal_autocheckpoint", CHECKPOINT_PAGES), ("cache_size", -8192)] {
        connection.pragma_update(None, pragma, value).map_err(at)?;
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(at)?;
    Ok(connection)
}

fn identify(connection: &Connection, path: &Path) -> Result<Contents, BrokerError> {
    let at = |error: rusqlite::Error| Trouble::from(error).at(&path.display().to_string());
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(at);
    let corrupt = |reason: String| BrokerError::Corrupt { place: path.display().to_string(), reason };
    let version = number("PRAGMA user_version")?;
    if number("SELECT COUNT(*) FROM sqlite_schema")? == 0 {
        return Ok(Contents::Nothing);
    }
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(corrupt(String::from("it is an SQLite file of something else, name another one in `queue.path`")));
    }
    if version != SCHEMA_VERSION {
        return Err(corrupt(format!(
            "it is of version {version} and this program reads {SCHEMA_VERSION}, use the program that wrote it"
        )));
    }
    Ok(Contents::Queue)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
    ))
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn failed(path: &Path, reason: String) -> BrokerError {
    BrokerError::Failed { place: path.display().to_string(), reason }
}

/// What to do about a file that cannot be written.
fn refused(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => format!(
            "{} cannot be written: give this user write permission on it and its directory, or name another file in \
             `queue.path`",
            path.display()
        ),
        _ => format!("{} cannot be opened ({error}): name another file in `queue.path`", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_written_says_what_to_do() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = refused(Path::new("/srv/queue.db.lock"), &denied);
        assert!(text.contains("/srv/queue.db.lock") && text.contains("write permission"), "{text}");
    }

    #[test]
    fn a_missing_directory_is_named_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none/queue.db");
        let error = own(&path).err().unwrap().to_string();
        assert!(error.contains("none does not exist: create it"), "{error}");
        assert!(!directory.path().join("none").exists());
    }
}
