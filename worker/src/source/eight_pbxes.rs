//! The list of 8x8 PBXes: two paths, two shapes. Pure.

use serde::Deserialize;
use url::Url;

use super::ask::{Answer, Ask};
use super::envelope;
use super::refusal::{Complaint, Refusal};
use super::settings::{self, PbxPath};

/// One page of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PbxPage {
    /// Each one's name, which is what call records are asked by, and whether it is deleted.
    pub(super) pbxes: Vec<(String, bool)>,
    /// Whether another page follows.
    pub(super) more: bool,
}

/// Method and path, for messages.
pub(super) fn endpoint(path: PbxPath) -> &'static str {
    match path {
        PbxPath::Documented => "GET /v2/pbxes/",
        PbxPath::CustomerData => "GET /v2/customer-data/pbxes",
    }
}

/// The request for page `page`, counted from 0. The number is sent and the `next` link is not followed: a link could
/// lead elsewhere with the token.
pub(super) fn request(base: &Url, path: PbxPath, page: u32) -> Ask {
    let path = match path {
        PbxPath::Documented => "/v2/pbxes/",
        PbxPath::CustomerData => "/v2/customer-data/pbxes",
    };
    let mut url = settings::at(base, path);
    url.query_pairs_mut().append_pair("page", &page.to_string()).append_pair("size", "100");
    Ask::get(url)
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: Option<Embedded>,
    #[serde(rename = "_links")]
    links: Option<Links>,
    page: Option<Number>,
}

/// The schema has links and page beside it, the documented example inside of it.
#[derive(Deserialize)]
struct Embedded {
    #[serde(rename = "pbxList", default)]
    list: Vec<Pbx>,
    #[serde(rename = "_links")]
    links: Option<Links>,
    page: Option<Number>,
}

#[derive(Deserialize)]
struct Pbx {
    name: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct Links {
    next: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Number {
    total_pages: Option<u32>,
}

/// What the answer for page `page` means; `None` where the path does not exist.
pub(super) fn read(answer: &Answer, page: u32) -> Result<Option<PbxPage>, Refusal> {
    if answer.status == 404 && page == 0 {
        return Ok(None);
    }
    if !answer.is_ok() {
        let refusal = Refusal::usual(answer, &Complaint::of(answer));
        return Err(match answer.status {
            400 | 401 | 403 => {
                refusal.hint("check the API key; the user needs the access level `Analytics: Supervisor`")
            }
            _ => refusal,
        });
    }
    let list: List = envelope::parse(answer)?;
    let Some(embedded) = list.embedded else {
        // An account without PBXes has the page and no list; anything else is another shape.
        let empty = list.page.is_some() || list.links.is_some();
        return if empty {
            Ok(Some(PbxPage { pbxes: Vec::new(), more: false }))
        } else {
            Err(Refusal::malformed(answer, "an answer without _embedded"))
        };
    };
    let linked = [&list.links, &embedded.links].into_iter().flatten().any(|links| links.next.is_some());
    let counted = [&list.page, &embedded.page]
        .into_iter()
        .flatten()
        .any(|number| number.total_pages.is_some_and(|pages| page + 1 < pages));
    let pbxes = embedded.list.into_iter().map(|pbx| (pbx.name, pbx.deleted)).collect();
    Ok(Some(PbxPage { pbxes, more: linked || counted }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::source::Trouble;

    fn ok(body: &str, page: u32) -> PbxPage {
        read(&Answer::scripted(200, &[], body), page).unwrap().unwrap()
    }

    #[test]
    fn links_and_page_are_found_beside_the_list_and_inside_of_it() {
        let live = ("aPbx".to_owned(), false);
        let beside = ok(include_str!("../../fixtures/8x8_pbxes.json"), 0);
        assert_eq!(beside, PbxPage { pbxes: vec![live.clone(), ("old".to_owned(), true)], more: true });
        let inside = ok(include_str!("../../fixtures/8x8_pbxes_nested.json"), 0);
        assert_eq!(inside, PbxPage { pbxes: vec![live], more: false });
    }

    #[test]
    fn the_number_of_pages_counts_where_no_link_does() {
        let body = r#"{"_embedded":{"pbxList":[]},"_links":{"next":null},"page":{"totalPages":3,"number":1}}"#;
        assert!(ok(body, 1).more && !ok(body, 2).more);
    }

    #[test]
    fn no_list_is_empty_where_there_is_a_page_and_malformed_where_there_is_nothing() {
        assert_eq!(ok(r#"{"page":{"totalPages":0}}"#, 0).pbxes, []);
        assert_eq!(read(&Answer::scripted(200, &[], "{}"), 0).unwrap_err().trouble, Trouble::Malformed);
    }

    #[test]
    fn a_path_that_does_not_exist_is_none_and_a_refused_list_refuses_the_account() {
        assert_eq!(read(&Answer::scripted(404, &[], "{}"), 0), Ok(None));
        for (status, trouble) in [
            (401, Trouble::Refused),
            (403, Trouble::Refused),
            (500, Trouble::Unavailable { after: None }),
            (404, Trouble::Rejected),
        ] {
            let body = r#"{"status":403,"messages":["no"],"path":"/analytics/work/v2/pbxes"}"#;
            assert_eq!(read(&Answer::scripted(status, &[], body), 1).unwrap_err().trouble, trouble);
        }
    }

    #[test]
    fn both_paths_are_asked_by_page() {
        let base = settings::base("https://api.8x8.com/analytics/work").unwrap();
        let url = |path| request(&base, path, 2).url.to_string();
        assert_eq!(url(PbxPath::Documented), "https://api.8x8.com/analytics/work/v2/pbxes/?page=2&size=100");
        assert_eq!(
            url(PbxPath::CustomerData),
            "https://api.8x8.com/analytics/work/v2/customer-data/pbxes?page=2&size=100"
        );
    }
}
