//! The `backhaul` program as a process of its own: found beside the test, started, killed, and never waited for longer
//! than it may take. Nothing of it outlives its test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The longest a call may take. What takes longer hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// Where the program is: beside the folder of the test's own executable.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("backhaul");
    assert!(program.exists(), "{} is not there: run `cargo build --workspace` first", program.display());
    program
}

/// A call of the program, before it is started.
pub struct Call(Command);

impl Call {
    /// `backhaul` with these arguments, in `folder`, with nothing of the test's environment that it listens to.
    #[must_use]
    pub fn new(folder: &Path, arguments: &[&str]) -> Call {
        let mut command = Command::new(program());
        command.args(arguments).current_dir(folder).kill_on_drop(true);
        command.env_remove("BACKHAUL_CONFIG").env_remove("BACKHAUL_KILL_AT").env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Call(command)
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.0.env(name, value);
        self
    }

    /// Without this variable.
    #[must_use]
    pub fn without(mut self, name: &str) -> Call {
        self.0.env_remove(name);
        self
    }

    /// To be killed when it comes by the marked point for the `times`-th time.
    #[must_use]
    pub fn kill_at(self, point: &str, times: u32) -> Call {
        self.env("BACKHAUL_KILL_AT", format!("{point}:{times}"))
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(mut self) -> Started {
        Started(self.0.spawn().unwrap())
    }

    /// Starts it and waits for its end.
    ///
    /// # Panics
    /// When it does not start or does not end.
    pub async fn end(self) -> Ended {
        self.start().end().await
    }
}

/// The program while it works.
pub struct Started(Child);

impl Started {
    /// Whether it is still there.
    ///
    /// # Panics
    /// When the system does not know.
    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(self) -> Ended {
        let output = timeout(LONGEST, self.0.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("backhaul did not end within {LONGEST:?}")).unwrap();
        Ended {
            status: output.status,
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The signal that `kill` and a service manager send.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn interrupt(&self) {
        let id = Pid::from_raw(i32::try_from(self.0.id().unwrap()).unwrap());
        kill(id, Signal::SIGTERM).unwrap();
    }

    /// `kill -9`, and its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn kill(mut self) -> Ended {
        self.0.start_kill().unwrap();
        self.end().await
    }
}

/// How a call ended, and what it said.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// Data.
    pub stdout: String,
    /// Talk.
    pub stderr: String,
}

impl Ended {
    /// Whether `kill -9` ended it.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        std::os::unix::process::ExitStatusExt::signal(&self.status) == Some(9)
    }

    /// Itself, if it ended with this exit code.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.status.code(), Some(code), "{}", self.said());
        self
    }

    /// Its data as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.said()))
    }

    /// Everything it said.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}\nstdout: {}\nstderr: {}", self.status, self.stdout, self.stderr)
    }
}
