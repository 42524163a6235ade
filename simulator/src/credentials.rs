//! The credentials the simulator takes. They are public constants: they open nothing else.

/// The 8x8 API key, sent as `8x8-apikey`.
pub const EIGHT_API_KEY: &str = "eght_simulator";
/// The 8x8 user name.
pub const EIGHT_USERNAME: &str = "reports@simulator.example";
/// The 8x8 password.
pub const EIGHT_PASSWORD: &str = "simulator-password";
/// The Webex client id.
pub const WEBEX_CLIENT_ID: &str = "C-simulator-client-id";
/// The Webex client secret.
pub const WEBEX_CLIENT_SECRET: &str = "simulator-client-secret";
/// The first Webex refresh token; with [`crate::Quirks::webex_rotates_refresh_token`] each use replaces it.
pub const WEBEX_REFRESH_TOKEN: &str = "simulator-refresh-token";
/// The Intercom access token, with every scope.
pub const INTERCOM_TOKEN: &str = "simulator-intercom-token";
/// An Intercom access token with read scopes only: `POST /companies/list` refuses it.
pub const INTERCOM_READ_TOKEN: &str = "simulator-intercom-read-token";
