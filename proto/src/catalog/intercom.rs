//! Intercom: stable fields as typed columns, nested ones as JSON, everything as raw.
//!
//! Types follow API version 2.16 and take what 2.11 to 2.18 send: ids are text whatever the wire says, times are
//! seconds (or milliseconds by mistake, or RFC 3339).

use std::time::Duration;

use super::same;
use crate::dataset::{Column, Convert, Dataset, Slicing, SourceName, Timing};

const HOUR: u64 = 3600;

/// Contact search filters by calendar day of the workspace, so a read reaches two days back to lose nothing.
const CONTACTS_TIMING: Timing = timing(48 * HOUR);
/// Conversation search filters by second; the hour covers a lagging search index.
const CONVERSATIONS_TIMING: Timing = timing(HOUR);
/// Read as a whole each time.
const WHOLE_TIMING: Timing = timing(0);

const fn timing(look_back_seconds: u64) -> Timing {
    Timing { holds: None, settles: Duration::ZERO, look_back: Duration::from_secs(look_back_seconds) }
}

const fn dataset(
    name: &'static str,
    columns: &'static [Column],
    version: Option<&'static str>,
    time: Option<&'static str>,
    timing: Timing,
    known: &'static [&'static str],
    doc: &'static str,
) -> Dataset {
    Dataset {
        name,
        source: SourceName::Intercom,
        table: name,
        columns,
        key: &["id"],
        version,
        time,
        slicing: Slicing::Entity,
        timing,
        known,
        any_case: false,
        raw: "raw",
        fetched_at: "_fetched_at",
        doc,
    }
}

const TYPE: &[&str] = &["type"];
/// Seen live, not documented, or only on request.
const CONTACT_RAW: &[&str] = &[
    "type",
    "merge_history",
    "opted_in_subscription_types",
    "opted_out_subscription_types",
    "utm_campaign",
    "utm_content",
    "utm_medium",
    "utm_source",
    "utm_term",
    "referrer",
    "enabled_push_messaging",
    "formatted_phone",
];
const CONVERSATION_RAW: &[&str] = &["type", "monitor_evaluations", "scorecards", "conversation_parts", "redacted"];

const UPDATED: Option<&str> = Some("updated_at");
const CREATED: Option<&str> = Some("created_at");

/// Contacts of role `user`.
pub(super) static USERS: Dataset =
    dataset("users", CONTACT, UPDATED, CREATED, CONTACTS_TIMING, CONTACT_RAW, "Contacts of role user.");
/// All contacts, users and leads.
pub(super) static CONTACTS: Dataset =
    dataset("contacts", CONTACT, UPDATED, CREATED, CONTACTS_TIMING, CONTACT_RAW, "All contacts, users and leads.");
/// Companies.
pub(super) static COMPANIES: Dataset =
    dataset("companies", COMPANY, UPDATED, CREATED, WHOLE_TIMING, TYPE, "Companies.");
/// Admins, the bot among them.
pub(super) static ADMINS: Dataset =
    dataset("admins", ADMIN, None, None, WHOLE_TIMING, TYPE, "Admins, the bot among them.");
/// Conversations, without their parts.
pub(super) static CONVERSATIONS: Dataset = dataset(
    "conversations",
    CONVERSATION,
    UPDATED,
    CREATED,
    CONVERSATIONS_TIMING,
    CONVERSATION_RAW,
    "Conversations, without their parts.",
);
/// Teams.
pub(super) static TEAMS: Dataset = dataset("teams", TEAM, None, None, WHOLE_TIMING, TYPE, "Teams.");
/// Tags.
pub(super) static TAGS: Dataset = dataset("tags", TAG, None, None, WHOLE_TIMING, TYPE, "Tags.");
/// Segments.
pub(super) static SEGMENTS: Dataset = dataset("segments", SEGMENT, UPDATED, CREATED, WHOLE_TIMING, TYPE, "Segments.");

static CONTACT: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("external_id", Convert::Text, "Your own id of the person."),
    same("workspace_id", Convert::Text, "Workspace id."),
    same("role", Convert::Text, "user or lead."),
    same("email", Convert::Text, "Email address."),
    same("email_domain", Convert::Text, "Email domain."),
    same("phone", Convert::Text, "Phone."),
    same("name", Convert::Text, "Its name."),
    same("owner_id", Convert::Text, "Id of the admin who owns it."),
    same("has_hard_bounced", Convert::Boolean, "Has hard bounced."),
    same("marked_email_as_spam", Convert::Boolean, "Marked email as spam."),
    same("unsubscribed_from_emails", Convert::Boolean, "Unsubscribed from emails."),
    same("created_at", Convert::Seconds, "Created at."),
    same("updated_at", Convert::Seconds, "Updated at."),
    same("signed_up_at", Convert::Seconds, "Signed up at."),
    same("last_seen_at", Convert::Seconds, "Last seen at."),
    same("last_replied_at", Convert::Seconds, "Last replied at."),
    same("last_contacted_at", Convert::Seconds, "Last contacted at."),
    same("last_email_opened_at", Convert::Seconds, "Last email opened at."),
    same("last_email_clicked_at", Convert::Seconds, "Last email clicked at."),
    same("language_override", Convert::Text, "Language override."),
    same("browser", Convert::Text, "Browser."),
    same("browser_version", Convert::Text, "Browser version."),
    same("browser_language", Convert::Text, "Browser language."),
    same("os", Convert::Text, "Os."),
    same("android_app_name", Convert::Text, "Android app name."),
    same("android_app_version", Convert::Text, "Android app version."),
    same("android_device", Convert::Text, "Android device."),
    same("android_os_version", Convert::Text, "Android os version."),
    same("android_sdk_version", Convert::Text, "Android sdk version."),
    same("android_last_seen_at", Convert::Seconds, "Android last seen at."),
    same("ios_app_name", Convert::Text, "Ios app name."),
    same("ios_app_version", Convert::Text, "Ios app version."),
    same("ios_device", Convert::Text, "Ios device."),
    same("ios_os_version", Convert::Text, "Ios os version."),
    same("ios_sdk_version", Convert::Text, "Ios sdk version."),
    same("ios_last_seen_at", Convert::Seconds, "Ios last seen at."),
    same("sms_consent", Convert::Boolean, "Whether the person agreed to text messages."),
    same("unsubscribed_from_sms", Convert::Boolean, "Whether the person opted out of text messages."),
    same("custom_attributes", Convert::Json, "Your own attributes, as the vendor sent them."),
    same("avatar", Convert::Json, "The picture; an object or a URL, by API version."),
    same("tags", Convert::Json, "Tags."),
    same("notes", Convert::Json, "Notes."),
    same("companies", Convert::Json, "Companies."),
    same("location", Convert::Json, "Location."),
    same("social_profiles", Convert::Json, "Social profiles."),
];

static COMPANY: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("name", Convert::Text, "Its name."),
    same("app_id", Convert::Text, "App id."),
    same("company_id", Convert::Text, "Company id."),
    same("remote_created_at", Convert::Seconds, "Remote created at."),
    same("created_at", Convert::Seconds, "Created at."),
    same("updated_at", Convert::Seconds, "Updated at."),
    same("last_request_at", Convert::Seconds, "Last request at."),
    same("size", Convert::Integer, "Size."),
    same("website", Convert::Text, "Website."),
    same("industry", Convert::Text, "Industry."),
    same("monthly_spend", Convert::Float, "Revenue of the company."),
    same("session_count", Convert::Integer, "Session count."),
    same("user_count", Convert::Integer, "User count."),
    same("plan", Convert::Json, "Plan."),
    same("custom_attributes", Convert::Json, "Your own attributes, as the vendor sent them."),
    same("tags", Convert::Json, "Tags."),
    same("segments", Convert::Json, "Segments."),
    same("notes", Convert::Json, "Notes."),
];

static ADMIN: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("name", Convert::Text, "Its name."),
    same("email", Convert::Text, "Email address."),
    same("job_title", Convert::Text, "Job title."),
    same("away_mode_enabled", Convert::Boolean, "Away mode enabled."),
    same("away_mode_reassign", Convert::Boolean, "Away mode reassign."),
    same("away_status_reason_id", Convert::Integer, "Away status reason id."),
    same("has_inbox_seat", Convert::Boolean, "Has inbox seat."),
    same("avatar", Convert::Text, "The picture; an object or a URL, by API version."),
    same("team_ids", Convert::Json, "Team ids."),
    same("team_priority_level", Convert::Json, "Team priority level."),
    same("role", Convert::Json, "user or lead."),
];

static TEAM: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("name", Convert::Text, "Its name."),
    same("assignment_limit", Convert::Integer, "Assignment limit."),
    same("distribution_method", Convert::Text, "Distribution method."),
    same("admin_ids", Convert::Json, "Admin ids."),
    same("admin_priority_level", Convert::Json, "Admin priority level."),
];

static TAG: &[Column] =
    &[same("id", Convert::Text, "The vendor's id: the key."), same("name", Convert::Text, "Its name.")];

static SEGMENT: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("name", Convert::Text, "Its name."),
    same("created_at", Convert::Seconds, "Created at."),
    same("updated_at", Convert::Seconds, "Updated at."),
    same("person_type", Convert::Text, "contact or user."),
    same("count", Convert::Integer, "Members of the segment."),
];

static CONVERSATION: &[Column] = &[
    same("id", Convert::Text, "The vendor's id: the key."),
    same("title", Convert::Text, "Title."),
    same("created_at", Convert::Seconds, "Created at."),
    same("updated_at", Convert::Seconds, "Updated at."),
    same("waiting_since", Convert::Seconds, "Waiting since."),
    same("snoozed_until", Convert::Seconds, "Snoozed until."),
    same("open", Convert::Boolean, "Open."),
    same("state", Convert::Text, "open, closed or snoozed."),
    same("read", Convert::Boolean, "Read."),
    same("priority", Convert::Text, "Priority, in the words of the API version."),
    same("admin_assignee_id", Convert::Text, "Id of the assigned admin; 0 or NULL for none."),
    same("team_assignee_id", Convert::Text, "Id of the assigned team; 0 or NULL for none."),
    same("ai_agent_participated", Convert::Boolean, "Ai agent participated."),
    same("sales_agent_participated", Convert::Boolean, "Sales agent participated."),
    same("company", Convert::Json, "Company."),
    same("tags", Convert::Json, "Tags."),
    same("conversation_rating", Convert::Json, "Conversation rating."),
    same("source", Convert::Json, "Source."),
    same("contacts", Convert::Json, "Contacts."),
    same("teammates", Convert::Json, "Teammates."),
    same("custom_attributes", Convert::Json, "Your own attributes, as the vendor sent them."),
    same("first_contact_reply", Convert::Json, "First contact reply."),
    same("sla_applied", Convert::Json, "Sla applied."),
    same("statistics", Convert::Json, "Statistics."),
    same("linked_objects", Convert::Json, "Linked objects."),
    same("ai_agent", Convert::Json, "Ai agent."),
    same("sales_agent", Convert::Json, "Sales agent."),
    same("channel", Convert::Json, "Channel."),
    same("external_references", Convert::Json, "External references."),
    same("topics", Convert::Json, "Topics."),
    same("ticket", Convert::Json, "The ticket it became."),
];
