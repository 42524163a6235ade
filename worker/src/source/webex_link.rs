//! The address of the next page in a `Link` header, and which addresses a token may be sent to. Pure.
//!
//! The vendor's documentation shows the header as `<<URL>;rel="next">`; RFC 8288 writes `<URL>; rel="next"`. Both are
//! read, alone or in a list.

use http::HeaderMap;
use url::Url;

/// The target of the link whose relation is `next`.
pub(super) fn next(headers: &HeaderMap) -> Option<&str> {
    headers.get_all(http::header::LINK).iter().filter_map(|value| value.to_str().ok()).find_map(next_of)
}

fn next_of(value: &str) -> Option<&str> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.trim_start_matches('<').split_once('>')?;
        // The parameters go on to the next link of the list.
        let parameters = after.split('<').next().unwrap_or_default();
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            let value = value.trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '>');
            name.trim().eq_ignore_ascii_case("rel") && value.split(' ').any(|rel| rel.eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target.trim());
        }
        rest = after;
    }
}

/// The `totalCount` that a link states: the records of the whole window.
pub(super) fn total(link: &str) -> Option<u64> {
    let url = Url::parse(link).ok()?;
    url.query_pairs().find(|(name, _)| name == "totalCount").and_then(|(_, count)| count.parse().ok())
}

/// Whether the token may be sent to `url`: the configured origin, or a host of the vendor over TLS.
pub(super) fn is_trusted(url: &Url, base: &Url) -> bool {
    url.origin() == base.origin() || (url.scheme() == "https" && url.port().is_none() && is_vendor(url))
}

fn is_vendor(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".webexapis.com"))
}

/// The host of another region that the message of a 451 answer names: `Please use HOST` or `URL: HOST`, with or
/// without `https://`.
pub(super) fn region(message: &str) -> Option<Url> {
    message.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '(' | ')' | ',')).find_map(
        |word| {
            let word = word.trim_end_matches(['.', ';', ':']);
            let host = word.strip_prefix("https://").unwrap_or(word).split('/').next().unwrap_or_default();
            let url = Url::parse(&format!("https://{host}")).ok()?;
            let plain = url.username().is_empty() && url.password().is_none() && url.port().is_none();
            (plain && is_vendor(&url)).then_some(url)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://analytics-calling.webexapis.com/v1/cdr_feed?endTime=2025-08-15T10:00:00.000Z\
        &startTimeForNextFetch=2025-08-15T09:30:00.000Z&totalCount=20000&max=5000";

    #[test]
    fn the_next_link_is_found_however_it_is_written() {
        for value in [
            format!("<<{URL}>;rel=\"next\">"),
            format!("<{URL}>;rel=\"next\""),
            format!("<{URL}>; rel=next"),
            format!("<{URL}> ; title=\"x\"; REL=\"prev Next\""),
            format!("<https://h/first>; rel=\"first\", <{URL}>; rel=\"next\""),
            format!("<{URL}>; rel=\"next\", <https://h/last>; rel=\"last\""),
        ] {
            assert_eq!(next_of(&value), Some(URL), "{value}");
        }
        for value in ["", "next", "<https://h>", "<https://h>; rel=\"prev\"", "<https://h", "<https://h>; rel=nextpage"]
        {
            assert_eq!(next_of(value), None, "{value}");
        }
        assert_eq!(total(URL), Some(20_000));
        assert_eq!(total("https://h/x?max=1"), None);
    }

    #[test]
    fn the_token_goes_to_the_configured_origin_and_to_the_vendor_only() {
        let base = Url::parse("http://127.0.0.1:9/webex").unwrap();
        for (url, trusted) in [
            ("http://127.0.0.1:9/v1/cdr_feed?x=1", true),
            ("https://analytics-calling-eu.webexapis.com/v1/cdr_feed", true),
            ("http://analytics-calling-eu.webexapis.com/v1/cdr_feed", false),
            ("https://analytics-calling-eu.webexapis.com:8443/", false),
            ("https://analytics-calling.webexapis.com.evil.example/", false),
            ("https://evilwebexapis.com/", false),
            ("https://analytics-calling.webexapis.com@evil.example/", false),
            ("http://127.0.0.1:10/", false),
        ] {
            assert_eq!(is_trusted(&Url::parse(url).unwrap(), &base), trusted, "{url}");
        }
    }

    #[test]
    fn the_region_is_read_from_both_wordings_and_only_within_the_vendor() {
        let eu = "https://analytics-calling-eu.webexapis.com/";
        for message in [
            "Wrong region. Please use analytics-calling-eu.webexapis.com",
            "Please use https://analytics-calling-eu.webexapis.com/v1/cdr_feed.",
            "The correct URL: https://analytics-calling-eu.webexapis.com",
        ] {
            assert_eq!(region(message).unwrap().as_str(), eu, "{message}");
        }
        for message in
            ["Please use evil.example", "Please use https://x.webexapis.com@evil.example", "", "webexapis.com"]
        {
            assert_eq!(region(message), None, "{message}");
        }
    }
}
