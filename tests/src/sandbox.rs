//! A folder with a configuration that leads to simulated vendors, and the calls of `backhaul` in it.
//!
//! `run` takes its time from the machine, so the simulator does too: its data is laid out up to the moment of the start,
//! by a seed.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use proto::catalog;
use proto::dataset::{Dataset, SourceName};
use simulator::{Clock, Rates, Running, Settings, Simulator, credentials};
use tempfile::TempDir;

use crate::program::{Call, Ended};

/// Which vendors there are and how they are read.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The vendors.
    pub world: Settings,
    /// The datasets to read. Accounts without any are left out.
    pub datasets: Vec<&'static str>,
    /// Lines for the 8x8 account, `calls`.
    pub calls: &'static str,
    /// Lines for the Webex account, `meetings`.
    pub meetings: &'static str,
    /// Lines for the Intercom account, `desk`.
    pub desk: &'static str,
    /// Lines for the table `worker`.
    pub worker: &'static str,
    /// Lines for the table `loader`.
    pub loader: &'static str,
    /// Tables of their own.
    pub more: &'static str,
}

impl Default for Setup {
    /// All datasets of two small days, without rate limits.
    fn default() -> Self {
        let world = Settings {
            now: Clock::System,
            days: 2,
            calls_per_day: 60,
            contacts: 300,
            scroll_idle: SCROLL_IDLE,
            rates: Rates::OFF,
            ..Settings::default()
        };
        let datasets = catalog::ALL.map(|dataset| dataset.name).to_vec();
        Setup { world, datasets, calls: "", meetings: "", desk: "", worker: "", loader: "", more: "" }
    }
}

impl Setup {
    /// Only these datasets.
    #[must_use]
    pub fn of(datasets: &[&'static str]) -> Setup {
        Setup { datasets: datasets.to_vec(), ..Setup::default() }
    }
}

const SCROLL_IDLE: std::time::Duration = std::time::Duration::from_millis(300);

/// The variables that hold the simulator's public credentials.
pub const SECRETS: [(&str, &str); 5] = [
    ("SIMULATOR_8X8_API_KEY", credentials::EIGHT_API_KEY),
    ("SIMULATOR_8X8_PASSWORD", credentials::EIGHT_PASSWORD),
    ("SIMULATOR_WEBEX_CLIENT_SECRET", credentials::WEBEX_CLIENT_SECRET),
    ("SIMULATOR_WEBEX_REFRESH_TOKEN", credentials::WEBEX_REFRESH_TOKEN),
    ("SIMULATOR_INTERCOM_TOKEN", credentials::INTERCOM_TOKEN),
];

/// A folder of its own, and its vendors.
pub struct Sandbox {
    folder: TempDir,
    running: Running,
    /// What was asked for.
    pub setup: Setup,
}

impl Sandbox {
    /// Starts the vendors and writes the configuration.
    ///
    /// # Panics
    /// When there is no port or no folder to be had.
    pub async fn start(setup: Setup) -> Sandbox {
        let running = simulator::start(setup.world.clone(), (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let sandbox = Sandbox { folder: tempfile::tempdir().unwrap(), running, setup };
        sandbox.configure(&sandbox.configuration());
        sandbox
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The destination.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder().join("backhaul.db")
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> PathBuf {
        self.folder().join("queue.db")
    }

    /// The vendors, to script their misfortune.
    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        self.running.simulator()
    }

    /// The datasets that are read.
    ///
    /// # Panics
    /// When the setup names one that does not exist.
    pub fn datasets(&self) -> impl Iterator<Item = &'static Dataset> + '_ {
        self.setup.datasets.iter().map(|name| catalog::find(name).unwrap())
    }

    /// Replaces the configuration.
    ///
    /// # Panics
    /// When the folder is gone.
    pub fn configure(&self, text: &str) {
        std::fs::write(self.folder().join("backhaul.toml"), text).unwrap();
    }

    /// The configuration as it was written at the start.
    #[must_use]
    pub fn configuration(&self) -> String {
        toml(&self.setup, self.running.addr())
    }

    /// `backhaul` in this folder, with all secrets.
    #[must_use]
    pub fn call(&self, arguments: &[&str]) -> Call {
        SECRETS.iter().fold(Call::new(self.folder(), arguments), |call, (name, secret)| call.env(name, secret))
    }

    /// Calls `backhaul` and waits for its end.
    pub async fn backhaul(&self, arguments: &[&str]) -> Ended {
        self.call(arguments).end().await
    }

    /// The newest run that the ledger knows, if it knows any: what a person who comes back finds out first.
    ///
    /// # Panics
    /// When `status` says neither.
    pub async fn newest_run(&self) -> Option<String> {
        let ended = self.backhaul(&["status", "--format", "json"]).await;
        match ended.status.code() {
            Some(0 | 5) => ended.json()["run"].as_str().map(str::to_owned),
            // There is no run, or no database yet.
            Some(2 | 3) => None,
            _ => panic!("{}", ended.said()),
        }
    }

    /// The arguments with which a person goes on after a crash: `run --resume` with the newest run, or `run`.
    pub async fn go_on(&self) -> Vec<String> {
        match self.newest_run().await {
            Some(run) => ["run", "--resume", &run].map(str::to_owned).to_vec(),
            None => vec!["run".to_owned()],
        }
    }

    /// Goes on as a person would, and waits for the end.
    pub async fn resume(&self) -> Ended {
        self.resume_call().await.end().await
    }

    /// The call that goes on as a person would.
    pub async fn resume_call(&self) -> Call {
        let arguments = self.go_on().await;
        self.call(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What a perfect sync holds now.
    #[must_use]
    pub fn truth(&self) -> simulator::Truth {
        self.running.truth()
    }
}

fn toml(setup: &Setup, addr: SocketAddr) -> String {
    let Setup { world, calls, meetings, desk, worker, loader, more, .. } = setup;
    let (zone, holds) = (world.zone, world.days + 2);
    let (username, client_id) = (credentials::EIGHT_USERNAME, credentials::WEBEX_CLIENT_ID);
    let idle = world.scroll_idle.as_millis();
    let patience = r#"patience = { ladder = ["50ms", "100ms", "200ms", "500ms"], give_up = "1m" }"#;
    let mut text = format!(
        r#"
[queue]
path = "queue.db"
[destination]
kind = "sqlite"
path = "backhaul.db"
[worker]
{patience}
{worker}
[loader]
{patience}
{loader}
{more}
"#
    );
    let accounts = [
        (
            SourceName::EightByEight,
            "calls",
            format!(
                r#"base_url = "http://{addr}/8x8/analytics/work"
zone = "{zone}"
holds = "{holds}d"
api_key = {{ env = "SIMULATOR_8X8_API_KEY" }}
username = "{username}"
password = {{ env = "SIMULATOR_8X8_PASSWORD" }}
pace = {{ requests = 1000, per = "1s" }}
{calls}"#
            ),
        ),
        (
            SourceName::Webex,
            "meetings",
            format!(
                r#"base_url = "http://{addr}/webex"
auth_url = "http://{addr}/webex"
holds = "{holds}d"
client_id = "{client_id}"
client_secret = {{ env = "SIMULATOR_WEBEX_CLIENT_SECRET" }}
refresh_token = {{ env = "SIMULATOR_WEBEX_REFRESH_TOKEN" }}
page_size = 500
in_flight = 4
pace = {{ requests = 1000, pages = 1000, per = "1s" }}
{meetings}"#
            ),
        ),
        (
            SourceName::Intercom,
            "desk",
            format!(
                r#"base_url = "http://{addr}/intercom"
token = {{ env = "SIMULATOR_INTERCOM_TOKEN" }}
scroll_idle = "{idle}ms"
pace = {{ requests = 1000, per = "1s" }}
{desk}"#
            ),
        ),
    ];
    for (source, name, lines) in accounts {
        let datasets: Vec<_> =
            catalog::of(source).map(|dataset| dataset.name).filter(|name| setup.datasets.contains(name)).collect();
        if !datasets.is_empty() {
            write!(text, "[accounts.{name}]\nsource = \"{source}\"\ndatasets = {datasets:?}\n{lines}\n").unwrap();
        }
    }
    text
}
