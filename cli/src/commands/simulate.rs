//! `backhaul simulate`: serves the three vendor APIs with made-up data until it is stopped.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use simulator::{Clock, Rates, Settings, credentials};

use crate::args::{Misfortune, Simulate};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::stop::Signals;

/// What `simulate` prints with `--format json`.
#[derive(Debug, Serialize)]
struct Serving {
    /// The address of 8x8.
    #[serde(rename = "8x8")]
    eight_by_eight: String,
    /// The address of Webex, for records and tokens.
    webex: String,
    /// The address of Intercom.
    intercom: String,
    /// What a perfect sync must hold.
    truth: String,
}

/// Serves until it is stopped.
pub(crate) async fn simulate(output: Output, args: &Simulate) -> Result<Exit, Failure> {
    let world = args.world;
    let settings = Settings {
        seed: world.seed,
        now: args.now.map_or(Clock::System, |now| Clock::Fixed(now.at(chrono_tz::Tz::UTC))),
        days: world.days,
        calls_per_day: world.calls_per_day,
        contacts: world.contacts,
        latency: Duration::from_millis(args.latency_ms),
        prerender: args.prerender,
        rates: if args.no_rate_limits { Rates::OFF } else { Rates::default() },
        ..Settings::default()
    };
    let zone = settings.zone;
    let signals = Signals::listen(output);
    let running = simulator::start(settings, args.listen).await.map_err(|error| {
        Failure::configuration(format!("--listen: cannot listen on {} ({error}): name another address", args.listen))
    })?;
    if args.misfortune == Misfortune::Rough {
        running.simulator().add(simulator::rough(world.seed));
    }
    let addr = running.addr();
    let serving = Serving {
        eight_by_eight: format!("http://{addr}/8x8/analytics/work"),
        webex: format!("http://{addr}/webex"),
        intercom: format!("http://{addr}/intercom"),
        truth: format!("http://{addr}/truth"),
    };
    output.data(&serving, || toml(&serving, zone.name()));
    output.say(&said(addr));
    signals.stop.cancelled().await;
    running.stop().await;
    Ok(Exit::Whole)
}

fn toml(serving: &Serving, zone: &str) -> String {
    let Serving { eight_by_eight, webex, intercom, .. } = serving;
    let (username, client_id) = (credentials::EIGHT_USERNAME, credentials::WEBEX_CLIENT_ID);
    format!(
        r#"[accounts.calls]
source = "8x8"
base_url = "{eight_by_eight}"
zone = "{zone}"
api_key = {{ env = "SIMULATOR_8X8_API_KEY" }}
username = "{username}"
password = {{ env = "SIMULATOR_8X8_PASSWORD" }}

[accounts.meetings]
source = "webex"
base_url = "{webex}"
auth_url = "{webex}"
client_id = "{client_id}"
client_secret = {{ env = "SIMULATOR_WEBEX_CLIENT_SECRET" }}
refresh_token = {{ env = "SIMULATOR_WEBEX_REFRESH_TOKEN" }}

[accounts.desk]
source = "intercom"
base_url = "{intercom}"
token = {{ env = "SIMULATOR_INTERCOM_TOKEN" }}"#
    )
}

/// The credentials are public constants of the simulator.
fn said(addr: SocketAddr) -> String {
    let exports = [
        ("SIMULATOR_8X8_API_KEY", credentials::EIGHT_API_KEY),
        ("SIMULATOR_8X8_PASSWORD", credentials::EIGHT_PASSWORD),
        ("SIMULATOR_WEBEX_CLIENT_SECRET", credentials::WEBEX_CLIENT_SECRET),
        ("SIMULATOR_WEBEX_REFRESH_TOKEN", credentials::WEBEX_REFRESH_TOKEN),
        ("SIMULATOR_INTERCOM_TOKEN", credentials::INTERCOM_TOKEN),
    ]
    .map(|(name, value)| format!("\n  export {name}={value}"))
    .concat();
    format!("serving on http://{addr} until it is stopped; the accounts above take these credentials:{exports}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    #[test]
    fn the_accounts_that_are_printed_are_a_valid_configuration() {
        let base = "http://127.0.0.1:8088";
        let serving = Serving {
            eight_by_eight: format!("{base}/8x8/analytics/work"),
            webex: format!("{base}/webex"),
            intercom: format!("{base}/intercom"),
            truth: format!("{base}/truth"),
        };
        let config = Config::parse("x", &toml(&serving, "America/New_York"), Path::new("")).unwrap();
        assert_eq!(config.accounts.len(), 3);
        insta::assert_json_snapshot!(serving);
    }
}
