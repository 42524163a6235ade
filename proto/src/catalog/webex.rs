//! Webex Calling detailed call history: every documented field, and the two that live answers add.
//!
//! Names on the wire differ from the documented ones in case, so fields are matched in any case.

use std::time::Duration;

use crate::dataset::{Column, Convert, Dataset, Slicing, SourceName, Timing};

/// A column of the vendor's field `field`.
const fn column(name: &'static str, field: &'static str, convert: Convert, doc: &'static str) -> Column {
    Column { name, field, convert, doc }
}

/// `""`, `"NA"` and `"na"` stand for a value that is absent.
const TEXT: Convert = Convert::TextOrBlank;
const COUNT: Convert = Convert::IntegerOrBlank;

const HOUR: Duration = Duration::from_secs(3600);

/// Call detail records, one per leg part of a call.
pub(super) static CDR_RECORDS: Dataset = Dataset {
    name: "cdr_records",
    source: SourceName::Webex,
    table: "cdr_records",
    columns: COLUMNS,
    key: &["report_id"],
    version: None,
    time: Some("start_time"),
    slicing: Slicing::Windows(Duration::from_secs(12 * 3600)),
    // cdr_feed answers for 30 days and up to 5 minutes ago; a record may take up to 24 hours to appear.
    timing: Timing {
        holds: Some(Duration::from_secs(30 * 86_400)),
        settles: Duration::from_secs(360),
        look_back: Duration::from_secs(26 * HOUR.as_secs()),
    },
    known: &[],
    any_case: true,
    raw: "raw_json",
    fetched_at: "ingestion_timestamp",
    doc: "Webex Calling call detail records, one row per leg part of a call.",
};

static COLUMNS: &[Column] = &[
    column("answer_indicator", "Answer indicator", TEXT, "Webex field `Answer indicator`."),
    column("answer_time", "Answer time", Convert::Iso, "When the call was answered; NULL if it was not."),
    column("answered", "Answered", Convert::Boolean, "Whether the call leg was answered."),
    column("authorization_code", "Authorization code", TEXT, "Webex field `Authorization code`."),
    column("call_id", "Call ID", TEXT, "The SIP call id; empty for some calls, shared by the legs of one call."),
    column("caller_id_number", "Caller ID number", TEXT, "Webex field `Caller ID number`."),
    column("call_outcome", "Call outcome", TEXT, "Webex field `Call outcome`."),
    column("call_outcome_reason", "Call outcome reason", TEXT, "Webex field `Call outcome reason`."),
    column(
        "call_recording_platform_name",
        "Call Recording Platform Name",
        TEXT,
        "Webex field `Call Recording Platform Name`.",
    ),
    column("call_recording_result", "Call Recording Result", TEXT, "Webex field `Call Recording Result`."),
    column("call_recording_trigger", "Call Recording Trigger", TEXT, "Webex field `Call Recording Trigger`."),
    column("call_transfer_time", "Call transfer Time", Convert::Iso, "Webex field `Call transfer Time`."),
    column("call_type", "Call type", TEXT, "Webex field `Call type`."),
    column("called_line_id", "Called line ID", TEXT, "Webex field `Called line ID`."),
    column("called_number", "Called number", TEXT, "Webex field `Called number`."),
    column("calling_line_id", "Calling line ID", TEXT, "Webex field `Calling line ID`."),
    column("calling_number", "Calling number", TEXT, "Webex field `Calling number`."),
    column("client_type", "Client type", TEXT, "Webex field `Client type`."),
    column("client_version", "Client version", TEXT, "Webex field `Client version`."),
    column("correlation_id", "Correlation ID", TEXT, "Ties the legs of one call together."),
    column("department_id", "Department ID", TEXT, "Webex field `Department ID`."),
    column("device_mac", "Device MAC", TEXT, "Webex field `Device MAC`."),
    column("device_owner_uuid", "Device owner UUID", TEXT, "Webex field `Device owner UUID`."),
    column("dialed_digits", "Dialed digits", TEXT, "Webex field `Dialed digits`."),
    column("direction", "Direction", TEXT, "Webex field `Direction`."),
    column("duration", "Duration", COUNT, "Seconds."),
    column("external_caller_id_number", "External caller ID number", TEXT, "Webex field `External caller ID number`."),
    column("final_local_session_id", "Final local SessionID", TEXT, "Webex field `Final local SessionID`."),
    column("final_remote_session_id", "Final remote SessionID", TEXT, "Webex field `Final remote SessionID`."),
    column("inbound_trunk", "Inbound trunk", TEXT, "Webex field `Inbound trunk`."),
    column("international_country", "International country", TEXT, "Webex field `International country`."),
    column("local_call_id", "Local call ID", TEXT, "Webex field `Local call ID`."),
    column("local_session_id", "Local SessionID", TEXT, "Webex field `Local SessionID`."),
    column("location", "Location", TEXT, "Name of the location."),
    column("model", "Model", TEXT, "Webex field `Model`."),
    column("network_call_id", "Network call ID", TEXT, "Webex field `Network call ID`."),
    column("org_uuid", "Org UUID", TEXT, "Webex field `Org UUID`."),
    column("original_reason", "Original reason", TEXT, "Webex field `Original reason`."),
    column("os_type", "OS type", TEXT, "Webex field `OS type`."),
    column("outbound_trunk", "Outbound trunk", TEXT, "Webex field `Outbound trunk`."),
    column("public_called_ip_address", "Public Called IP Address", TEXT, "Webex field `Public Called IP Address`."),
    column("public_calling_ip_address", "Public Calling IP Address", TEXT, "Webex field `Public Calling IP Address`."),
    column("release_time", "Release time", Convert::Iso, "When the call finished, by the network."),
    column("ring_duration", "Ring duration", COUNT, "Seconds."),
    column("redirecting_party_uuid", "Redirecting party UUID", TEXT, "Webex field `Redirecting party UUID`."),
    column("redirect_reason", "Redirect reason", TEXT, "Webex field `Redirect reason`."),
    column("redirecting_number", "Redirecting number", TEXT, "Webex field `Redirecting number`."),
    column("related_call_id", "Related call ID", TEXT, "Webex field `Related call ID`."),
    column("related_reason", "Related reason", TEXT, "Webex field `Related reason`."),
    column("releasing_party", "Releasing party", TEXT, "Webex field `Releasing party`."),
    column("remote_call_id", "Remote call ID", TEXT, "Webex field `Remote call ID`."),
    column("remote_session_id", "Remote SessionID", TEXT, "Webex field `Remote SessionID`."),
    column("report_id", "Report ID", TEXT, "Unique per record: the key."),
    column("report_time", "Report time", Convert::Iso, "When the call finished."),
    column("route_group", "Route group", TEXT, "Webex field `Route group`."),
    column("route_list_calls_overage", "Route list calls overage", TEXT, "Webex field `Route list calls overage`."),
    column("site_main_number", "Site main number", TEXT, "Webex field `Site main number`."),
    column("site_timezone", "Site timezone", TEXT, "Offset of the site from UTC, in minutes."),
    column("site_uuid", "Site UUID", TEXT, "Webex field `Site UUID`."),
    column("start_time", "Start time", Convert::Iso, "When the call leg started."),
    column("sub_client_type", "Sub client type", TEXT, "Webex field `Sub client type`."),
    column("transfer_related_call_id", "Transfer related call ID", TEXT, "Webex field `Transfer related call ID`."),
    column("user", "User", TEXT, "Display name of the user."),
    column("user_number", "User number", TEXT, "Webex field `User number`."),
    column("user_type", "User type", TEXT, "Webex field `User type`."),
    column("user_uuid", "User UUID", TEXT, "Webex field `User UUID`."),
    column("pstn_vendor_name", "PSTN Vendor Name", TEXT, "Webex field `PSTN Vendor Name`."),
    column("pstn_legal_entity", "PSTN Legal Entity", TEXT, "Webex field `PSTN Legal Entity`."),
    column("pstn_vendor_org_id", "PSTN Vendor Org ID", TEXT, "Webex field `PSTN Vendor Org ID`."),
    column("pstn_provider_id", "PSTN Provider ID", TEXT, "Webex field `PSTN Provider ID`."),
    column(
        "original_called_party_uuid",
        "Original Called Party UUID",
        TEXT,
        "Webex field `Original Called Party UUID`.",
    ),
    column("recall_type", "Recall Type", TEXT, "Webex field `Recall Type`."),
    column("hold_duration", "Hold Duration", COUNT, "Seconds."),
    column(
        "auto_attendant_key_pressed",
        "Auto Attendant Key Pressed",
        TEXT,
        "Webex field `Auto Attendant Key Pressed`.",
    ),
    column("queue_type", "Queue Type", TEXT, "Webex field `Queue Type`."),
    column("answered_elsewhere", "Answered Elsewhere", TEXT, "Webex field `Answered Elsewhere`."),
    column("caller_reputation_score", "Caller Reputation Score", TEXT, "Webex field `Caller Reputation Score`."),
    column(
        "caller_reputation_service_result",
        "Caller Reputation Service Result",
        TEXT,
        "Webex field `Caller Reputation Service Result`.",
    ),
    column(
        "caller_reputation_score_reason",
        "Caller Reputation Score Reason",
        TEXT,
        "Webex field `Caller Reputation Score Reason`.",
    ),
    column("interaction_id", "Interaction ID", TEXT, "Webex field `Interaction ID`."),
    column("wxcc_consult_merge_status", "WxCC consult merge status", TEXT, "Webex field `WxCC consult merge status`."),
    column("elin", "ELIN", TEXT, "Webex field `ELIN`."),
    column("emergency_number_source", "Emergency number source", TEXT, "Webex field `Emergency number source`."),
    column("transfer_type", "Transfer type", TEXT, "Webex field `Transfer type`."),
    column("transfer_type_context", "Transfer type context", TEXT, "Webex field `Transfer type context`."),
    column("external_customer_id", "External customer ID", TEXT, "Webex field `External customer ID`."),
    column("answer_reason", "Answer reason", TEXT, "Webex field `Answer reason`."),
];
