//! Webex call detail records in the shape of a live answer: 87 keys, `""`, `"NA"` and `"na"` for what is absent.

use chrono::{DateTime, SecondsFormat};

use crate::chance::Chance;
use crate::json::Object;
use crate::timeline::Timeline;
use crate::words;
use crate::world::Entry;

const STREAM: u64 = 0x3eb;
/// No call is longer than this from start to report, in milliseconds.
pub(crate) const LONGEST: i64 = 2 * 3_600_000;
/// The names of the locations.
pub(crate) const LOCATIONS: &[&str] = &["Site1", "Richardson", "Zürich", "Paris, Nord"];

/// Makes the records; legs of one call share its times.
#[derive(Clone, Debug)]
pub(crate) struct WebexCalls {
    pub(crate) line: Timeline,
}

impl WebexCalls {
    pub(crate) const GROUPS: &'static [u64] = &[1, 2, 2, 2, 3, 8];

    pub(crate) const fn stream() -> u64 {
        STREAM
    }

    fn call(&self, index: u64) -> (Chance, u64) {
        let group = if index < self.line.count { self.line.group(index) } else { index };
        (Chance::new(self.line.seed, STREAM, group), group)
    }

    fn lengths(chance: &mut Chance) -> (i64, i64) {
        let ring = chance.below(25_000) as i64;
        let answered = !chance.one_in(3);
        let most = if chance.one_in(40) { 6_000_000 } else { 500_000 };
        (ring, if answered { 1_000 + chance.below(most) as i64 } else { 0 })
    }

    /// Milliseconds from the start of the call to its report.
    pub(crate) fn length(&self, index: u64) -> i64 {
        let (mut chance, _) = self.call(index);
        let (ring, talk) = Self::lengths(&mut chance);
        ring + talk + 2
    }

    pub(crate) fn location(&self, index: u64) -> &'static str {
        Chance::new(self.line.seed, STREAM ^ 0x10c, index).pick(LOCATIONS)
    }

    pub(crate) fn write(&self, entry: Entry, out: &mut Vec<u8>) {
        let (mut call, group) = self.call(entry.index);
        let (ring, talk) = Self::lengths(&mut call);
        let answered = talk > 0;
        let (start, end) = (entry.time, entry.time + ring + talk);
        let report = end + 2;
        let caller = format!("+4812321{:04}", call.below(10_000));
        let callee = format!("+1254212{:04}", call.below(10_000));
        let correlation = call.uuid(4);
        let interaction = call.uuid(4);
        let call_id = if answered { format!("SSE{start}{}@10.177.4.29", call.below(1 << 40)) } else { String::new() };
        let international = call.one_in(12);
        let moved = call.one_in(9);

        let mut leg = Chance::new(self.line.seed, STREAM ^ 0x1e6, entry.index);
        let originating = (entry.index - group) % 2 == 1;
        let user = format!("{} {}", leg.pick(words::FIRST), leg.pick(words::LAST));
        let session =
            |leg: &mut Chance| if answered { format!("{:016x}{:016x}", leg.bits(), leg.bits()) } else { String::new() };

        let mut object = Object::new(out);
        object.text("Answer time", &if answered { iso(start + ring) } else { String::new() });
        object.text("Answered", if answered { "true" } else { "false" });
        object.text("Direction", if originating { "ORIGINATING" } else { "TERMINATING" });
        object.text("Called line ID", if answered { user.as_str() } else { "NA" });
        object.text("Call ID", &call_id);
        object.plain("Calling line ID", format_args!("Agent-{}", 80_945_336 + leg.below(99)));
        object.text("Start time", &iso(start));
        object.text("Call type", leg.pick(&["SIP_INBOUND", "SIP_ENTERPRISE", "SIP_NATIONAL", "SIP_MOBILE", "UNKNOWN"]));
        object.text("Client type", leg.pick(&["SIP", "WXC_CLIENT", "WXC_DEVICE", "TEAMS_WXC_CLIENT"]));
        object.text("Client version", if leg.one_in(3) { "1.0.2.3" } else { "" });
        object.text("Correlation ID", &correlation);
        object.text("International country", if international { "PL" } else { "" });
        object.text("Device MAC", if leg.one_in(4) { "6C710D8ABC10" } else { "" });
        object.int("Duration", talk / 1_000 + i64::from(entry.revision));
        object.text("Inbound trunk", if leg.one_in(6) { "InTrunk" } else { "" });
        object.text("Org UUID", "74983fd5-5c18-45cb-bfcd-507005e05b0f");
        object.text("Original reason", if moved { "NoAnswer" } else { "" });
        object.text("OS type", "na");
        object.text("Outbound trunk", if leg.one_in(6) { "OutTrunk" } else { "" });
        object.text("Redirect reason", if moved { "CallQueue" } else { "" });
        object.text("Related reason", if moved { "CallQueue" } else { "" });
        object.text("Report ID", &leg.uuid(3));
        object.text("Report time", &iso(report));
        object.text("Route group", "");
        object.text("Site main number", "+16693043560");
        object.text("Site timezone", leg.pick(&["-420", "-300", "60"]));
        object.text("Sub client type", "");
        object.text("User UUID", &leg.uuid(4));
        object.text("User type", leg.pick(&["User", "User", "HuntGroup", "CallCenterPremium", "VirtualLine"]));
        object.text("User", &user);
        object.text("Called number", &callee);
        object.text("Calling number", &caller);
        object.text("Location", self.location(entry.index));
        object.text("Dialed digits", if originating { callee.as_str() } else { "" });
        object.text("Releasing party", leg.pick(&["Local", "Remote", "Unknown"]));
        object.text("Redirecting number", if moved { "+13343822691" } else { "" });
        object.text("Site UUID", "a0ac79b3-d37c-4cae-8ab0-5d4ec85adde8");
        object.text("Department ID", &if leg.one_in(3) { leg.uuid(4) } else { String::new() });
        object.text("Transfer related call ID", "");
        object.text("Authorization code", if leg.one_in(30) { "107" } else { "" });
        object.text("Model", if leg.one_in(4) { "8851-3PCC" } else { "" });
        object.text("Local SessionID", &session(&mut leg));
        object.text("Remote SessionID", &session(&mut leg));
        object.text("Call transfer time", &if moved && answered { iso(end - 500) } else { String::new() });
        object.plain("Local call ID", format_args!("{}:0", 29_741_232 + entry.index));
        object.text("Remote call ID", "");
        object.plain("Network call ID", format_args!("SDen4q{:x}-aoh8mj1050", leg.bits()));
        object.text("Related call ID", "");
        object.text("User number", &callee);
        object.text("Call outcome", if answered { "Success" } else { leg.pick(&["Refusal", "Failure"]) });
        object.text("Call outcome reason", if answered { "Normal" } else { "TemporarilyUnavailable" });
        object.plain("Ring duration", format_args!("{}", ring / 1_000));
        let indicator = if moved { "Yes-PostRedirection" } else { "Yes" };
        object.text("Answer indicator", if answered { indicator } else { "No" });
        if leg.one_in(20) {
            object.text("Release time", &iso(end).replace('T', " ").replace('Z', ""));
        } else {
            object.text("Release time", &iso(end));
        }
        object.text("Final local SessionID", "");
        object.text("Final remote SessionID", "");
        object.text("PSTN legal entity", "Broadsoft Adaption LLC");
        object.text("PSTN vendor org ID", "0b43a1a8-2efd-4892-b301-e7a5a6d2c884");
        object.text("PSTN vendor name", "Cisco Calling Plans");
        object.text("PSTN provider ID", "3fac3e13-f8de-43b4-ad85-c2862ae3afe8");
        object.text("External customer ID", if leg.one_in(15) { "cust-7, west" } else { "" });
        object.text("Redirecting party UUID", "");
        object.text("Public Calling IP Address", "NA");
        object.text("Public Called IP Address", if leg.one_in(9) { "203.0.113.9" } else { "NA" });
        object.text("Caller ID number", &caller);
        object.text("External caller ID number", &callee);
        for name in EMPTY_BEFORE_KEY {
            object.text(name, "");
        }
        object.text("Auto Attendant Key Pressed", if leg.one_in(9) { "5" } else { "NA" });
        object.text("Queue type", if moved { "Customer Assist" } else { "" });
        object.text("Answered elsewhere", if leg.one_in(30) { "Yes" } else { "" });
        object.int("Hold duration", if answered { leg.below(30) as i64 } else { 0 });
        object.text("Route list calls overage", "");
        object.text("Caller Reputation Score", if leg.one_in(9) { "2.5" } else { "" });
        object.text("Caller Reputation Service Result", "");
        object.text("Caller Reputation Score Reason", "");
        object.text("Interaction ID", &interaction);
        object.text("WxCC consult merge status", "");
        object.text("ELIN", "");
        object.text("Emergency number source", "");
        object.text("Transfer type", "");
        object.text("Transfer type context", "");
        object.text("Answer reason", if leg.one_in(15) { "CallPickup" } else { "" });
        object.end();
    }
}

const EMPTY_BEFORE_KEY: [&str; 6] = [
    "Device owner UUID",
    "Call Recording Platform Name",
    "Call Recording Result",
    "Call Recording Trigger",
    "Original called party UUID",
    "Recall type",
];

/// `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub(crate) fn iso(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}
