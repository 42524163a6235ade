//! The world of a demo: kept in its folder, so that a second demo over the folder meets the same vendors at the same
//! time; and the configuration that leads there, written as a file that other commands can be pointed at.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use simulator::{Clock, Rates, Settings, credentials};

use crate::args::World;
use crate::exit::Failure;

/// What a demo's folder says of its world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    /// When the world stands still.
    pub(crate) now: DateTime<Utc>,
    days: u32,
    calls_per_day: u32,
    contacts: u64,
    seed: u64,
}

impl Kept {
    fn new(world: World, now: DateTime<Utc>) -> Kept {
        let World { days, calls_per_day, contacts, seed } = world;
        Kept { now: now.trunc_subsecs(0), days, calls_per_day, contacts, seed }
    }

    /// The world of the folder `dir`: the one that an earlier demo left there, or a new one that begins at `now`.
    ///
    /// # Errors
    /// When another demo left another world there, or the folder cannot be used.
    pub(crate) fn of(dir: &Path, world: World, now: DateTime<Utc>) -> Result<Kept, Failure> {
        let path = dir.join("demo.json");
        let shown = path.display();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let kept = Kept::new(world, now);
                write(&path, &serde_json::to_string_pretty(&kept).unwrap_or_default())?;
                return Ok(kept);
            }
            Err(error) => {
                return Err(Failure::configuration(format!(
                    "--dir: {shown} does not read ({error}): use another --dir"
                )));
            }
        };
        let kept: Kept = serde_json::from_str(&text).map_err(|error| {
            Failure::configuration(format!("--dir: {shown} is not of a demo ({error}): use another --dir or delete it"))
        })?;
        if kept == Kept::new(world, kept.now) {
            return Ok(kept);
        }
        let Kept { days, calls_per_day, contacts, seed, .. } = kept;
        Err(Failure::usage(format!(
            "{} holds a demo with --days {days} --calls-per-day {calls_per_day} --contacts {contacts} --seed {seed}: \
             repeat these, use another --dir, or delete it",
            dir.display()
        )))
    }

    /// The simulator that serves it, with rate limits that a demo need not wait for.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            seed: self.seed,
            now: Clock::Fixed(self.now),
            days: self.days,
            calls_per_day: self.calls_per_day,
            contacts: self.contacts,
            scroll_idle: SCROLL_IDLE,
            rates: Rates::OFF,
            ..Settings::default()
        }
    }

    /// Where 8x8 keeps its wall clocks.
    fn zone(&self) -> Tz {
        self.settings().zone
    }
}

/// An idle company scroll is let go of soon, so that one that broke off does not hold up a demo.
const SCROLL_IDLE: Duration = Duration::from_secs(2);

/// Writes the demo's configuration and the simulator's public credentials to `dir`.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn configure(dir: &Path, kept: &Kept, addr: SocketAddr) -> Result<(), Failure> {
    let secrets = dir.join("credentials");
    crate::wire::folder(&secrets, "--dir")?;
    for (name, secret) in [
        ("8x8-api-key", credentials::EIGHT_API_KEY),
        ("8x8-password", credentials::EIGHT_PASSWORD),
        ("webex-client-secret", credentials::WEBEX_CLIENT_SECRET),
        ("webex-refresh-token", credentials::WEBEX_REFRESH_TOKEN),
        ("intercom-token", credentials::INTERCOM_TOKEN),
    ] {
        write(&secrets.join(name), secret)?;
    }
    write(&dir.join("backhaul.toml"), &toml(kept, addr))
}

fn toml(kept: &Kept, addr: SocketAddr) -> String {
    let (zone, username, client_id) = (kept.zone(), credentials::EIGHT_USERNAME, credentials::WEBEX_CLIENT_ID);
    let idle = SCROLL_IDLE.as_secs();
    // Of what the vendors hold only these days have calls; two years of empty ones would prove nothing.
    let holds = kept.days + 2;
    format!(
        r#"# Written by `backhaul demo`. The vendors are simulated and gone when the demo ends; `status` and `dead` go on working:
#   backhaul --config THIS_FILE status
# The credentials are the simulator's, and open nothing else. Delays are shorter than for real vendors.

[queue]
path = "queue.db"

[destination]
kind = "sqlite"
path = "backhaul.db"

[worker]
patience = {{ ladder = ["200ms", "500ms", "1s", "2s"], give_up = "1m" }}

[loader]
patience = {{ ladder = ["200ms", "500ms", "1s", "2s"], give_up = "1m" }}

[accounts.calls]
source = "8x8"
base_url = "http://{addr}/8x8/analytics/work"
zone = "{zone}"
holds = "{holds}d"
api_key = {{ file = "credentials/8x8-api-key" }}
username = "{username}"
password = {{ file = "credentials/8x8-password" }}
pace = {{ requests = 1000, per = "1s" }}

[accounts.meetings]
source = "webex"
base_url = "http://{addr}/webex"
auth_url = "http://{addr}/webex"
holds = "{holds}d"
client_id = "{client_id}"
client_secret = {{ file = "credentials/webex-client-secret" }}
refresh_token = {{ file = "credentials/webex-refresh-token" }}
page_size = 500
in_flight = 4
pace = {{ requests = 1000, pages = 1000, per = "1s" }}

[accounts.desk]
source = "intercom"
base_url = "http://{addr}/intercom"
token = {{ file = "credentials/intercom-token" }}
scroll_idle = "{idle}s"
pace = {{ requests = 1000, per = "1s" }}
"#
    )
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| {
        let shown = path.display();
        Failure::configuration(format!("--dir: {shown} cannot be written ({error}): allow it, or use another --dir"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const WORLD: World = World { days: 7, calls_per_day: 400, contacts: 3000, seed: 1 };

    fn now() -> DateTime<Utc> {
        "2026-11-20T08:44:28.5Z".parse().unwrap()
    }

    #[test]
    fn a_second_demo_meets_the_same_world_and_another_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = Kept::of(dir.path(), WORLD, now()).unwrap();
        let later = now() + chrono::Duration::days(3);
        assert_eq!(Kept::of(dir.path(), WORLD, later).unwrap(), first);
        let failure = Kept::of(dir.path(), World { seed: 2, ..WORLD }, later).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(failure.message.contains("--seed 1: repeat these, use another --dir"), "{}", failure.message);
    }

    #[test]
    fn a_folder_that_is_not_of_a_demo_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("demo.json"), "{}").unwrap();
        let failure = Kept::of(dir.path(), WORLD, now()).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Configuration);
    }

    #[test]
    fn the_configuration_of_a_demo_is_one_that_any_command_takes() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::of(dir.path(), WORLD, now()).unwrap();
        configure(dir.path(), &kept, "127.0.0.1:9".parse().unwrap()).unwrap();
        let config = Config::load(&dir.path().join("backhaul.toml")).unwrap();
        assert_eq!(config.accounts.len(), 3);
        assert_eq!(config.accounts.iter().map(|account| account.datasets.len()).sum::<usize>(), 10);
        assert!(crate::wire::sources(&config, &config.accounts, Some(kept.now)).is_ok());
    }
}
