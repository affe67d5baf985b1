//! A page of keys, as S3 writes it.

use quick_xml::escape::escape;

use super::tree::Tree;

/// The page of at most `most` keys that begin with `prefix` and come after `marker`.
pub fn page(tree: &Tree, prefix: &str, marker: &str, most: usize) -> String {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    let from = if marker > prefix { Excluded(marker) } else { Included(prefix) };
    let mut keys =
        tree.keys.range::<str, _>((from, Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
    let mut contents = String::new();
    for (key, published) in keys.by_ref().take(most) {
        contents += &format!(
            "<Contents><Key>{}</Key><ETag>{}</ETag><Size>{}</Size></Contents>",
            escape(key.as_str()),
            escape(published.etag.as_str()),
            published.bytes
        );
    }
    let more = keys.next().is_some();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <Prefix>{}</Prefix><Marker>{}</Marker><MaxKeys>{most}</MaxKeys>\
         <IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>",
        escape(prefix),
        escape(marker)
    )
}

#[cfg(test)]
mod tests {
    use quick_xml::escape::unescape;

    use super::super::tree::{Content, Published};
    use super::*;

    #[test]
    fn pages_together_are_the_keys_of_a_prefix() {
        let mut tree = Tree::default();
        let published =
            Published { content: Content::Text(String::new()), bytes: 3, etag: "\"e\"".to_owned() };
        for key in ["a/1", "b/1", "b/2&", "b/3", "b/4", "b/5", "c/1"] {
            tree.keys.insert(key.to_owned(), published.clone());
        }
        for most in 1..7 {
            let (mut found, mut marker) = (Vec::new(), String::new());
            loop {
                let text = page(&tree, "b/", &marker, most);
                let keys = text.split("<Key>").skip(1).map(|rest| rest.split_once('<').unwrap().0);
                found.extend(keys.map(|key| unescape(key).unwrap().into_owned()));
                marker.clone_from(found.last().unwrap());
                if text.contains("<IsTruncated>false<") {
                    break;
                }
            }
            assert_eq!(found, ["b/1", "b/2&", "b/3", "b/4", "b/5"], "{most}");
        }
    }
}
