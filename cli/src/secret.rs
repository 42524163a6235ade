//! Where a secret is kept. It is read only when a part needs it, so that `status` works where the secrets are not.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use proto::secret::Secret;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// An environment variable.
    Env(String),
    /// A file; white space around the secret is not part of it.
    File(PathBuf),
    /// The system's store of secrets.
    Keyring {
        /// The service it is stored for.
        service: String,
        /// The user it is stored for.
        user: String,
    },
    /// In memory: a name that is no secret, or the simulator's public constants.
    Given(Secret),
}

impl SecretPlace {
    /// Reads the secret.
    ///
    /// # Errors
    /// With a sentence that says where it was sought and what to do. Never with a part of the secret.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let found = match self {
            SecretPlace::Env(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => format!("the environment variable {name} is not set: set it"),
                std::env::VarError::NotUnicode(_) => {
                    format!("the environment variable {name} is not UTF-8: set it to plain text")
                }
            })?,
            SecretPlace::File(path) => fs::read_to_string(path).map_err(|error| {
                format!(
                    "the file {} does not read ({error}): write the secret to it, readable for you only",
                    path.display()
                )
            })?,
            SecretPlace::Keyring { service, user } => from_keyring(service, user)?,
            SecretPlace::Given(secret) => return Ok(secret.clone()),
        };
        let secret = Secret::new(&found);
        if secret.reveal().is_empty() { Err(format!("{self} is empty: put the secret there")) } else { Ok(secret) }
    }
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::Env(name) => write!(f, "the environment variable {name}"),
            SecretPlace::File(path) => write!(f, "the file {}", path.display()),
            SecretPlace::Keyring { service, user } => write!(f, "the keyring entry {service}/{user}"),
            SecretPlace::Given(_) => f.write_str("the given value"),
        }
    }
}

fn from_keyring(service: &str, user: &str) -> Result<String, String> {
    let read = keyring::Entry::new(service, user).and_then(|entry| entry.get_password());
    read.map_err(|error| match error {
        keyring::Error::NoEntry => {
            format!("the keyring has no entry {service}/{user}: add it, or use {{ env = \"...\" }} or {{ file = \"...\" }}")
        }
        // `BadEncoding` carries the secret's bytes in its debug form only; its text does not.
        other => format!("the keyring entry {service}/{user} does not read ({other}): use {{ env = \"...\" }} or {{ file = \"...\" }}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file_without_the_newline() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "hunter2\n").unwrap();
        assert_eq!(SecretPlace::File(file.path().to_owned()).read().unwrap().reveal(), "hunter2");
        fs::write(file.path(), "\n").unwrap();
        assert!(
            SecretPlace::File(file.path().to_owned()).read().unwrap_err().ends_with("is empty: put the secret there")
        );
    }

    #[test]
    fn a_missing_secret_says_where_it_was_sought_and_what_to_do() {
        let place = SecretPlace::Env("BACKHAUL_TEST_NO_SUCH_VARIABLE".into());
        assert_eq!(
            place.read().unwrap_err(),
            "the environment variable BACKHAUL_TEST_NO_SUCH_VARIABLE is not set: set it"
        );
        let place = SecretPlace::File("no/such/file".into());
        let sentence = place.read().unwrap_err();
        assert!(sentence.starts_with("the file no/such/file does not read"), "{sentence}");
    }

    #[test]
    fn a_given_secret_never_prints() {
        assert!(!format!("{:?}", SecretPlace::Given(Secret::new("hunter2"))).contains("hunter2"));
    }
}
