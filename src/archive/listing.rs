//! A page of a bucket's listing, as S3 writes it: `GET /?prefix=…&marker=…`, up to 1,000 keys in order.
//!
//! ```xml
//! <ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>data/spot/daily/trades/BTCUSDT/
//! BTCUSDT-trades-2024-03-01.zip</Key><ETag>"9b2c…"</ETag><Size>123456</Size></Contents>…
//! ```

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::net::url::Url;

/// Characters that need no escaping in a path or a query.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A page of keys.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Page {
    /// Whether more keys follow.
    pub is_truncated: bool,
    /// Keys, in order.
    #[serde(default)]
    pub contents: Vec<Content>,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Content {
    /// The key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// Tag of the content, in quotes.
    #[serde(rename = "ETag")]
    pub etag: Option<String>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn read(text: &str) -> Result<Self, String> {
        if !text.contains("<ListBucketResult") {
            return Err("not a <ListBucketResult>".to_owned());
        }
        quick_xml::de::from_str(text).map_err(|error| error.to_string())
    }

    /// Where the next page begins; none at the end. `marker` is where this one does.
    ///
    /// # Errors
    /// When it does not come nearer to an end.
    pub fn next(&self, marker: Option<&str>) -> Result<Option<&str>, &'static str> {
        if !self.is_truncated {
            return Ok(None);
        }
        match self.contents.last() {
            None => Err("a page without keys says that more follow"),
            Some(last) if Some(last.key.as_str()) <= marker => Err("its pages repeat"),
            Some(last) => Ok(Some(&last.key)),
        }
    }
}

/// The address of a page.
pub fn url(base: &Url, prefix: &str, marker: Option<&str>) -> Url {
    let mut query = format!("/?prefix={}", escape(prefix));
    if let Some(marker) = marker {
        query += &format!("&marker={}", escape(marker));
    }
    base.below(&query)
}

/// A key as part of an address.
pub fn escape(key: &str) -> String {
    utf8_percent_encode(key, ESCAPED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_as_s3_writes_it() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>data</Name><Prefix>data/x/</Prefix>
<Marker></Marker><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>
<Contents><Key>data/x/A&amp;B.zip</Key><LastModified>2024-03-02T01:02:03.000Z</LastModified>
<ETag>&quot;9b2c&quot;</ETag><Size>17</Size><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>data/x/C.zip</Key><Size>0</Size></Contents></ListBucketResult>"#;
        let page = Page::read(text).unwrap();
        assert_eq!(page.contents[0].key, "data/x/A&B.zip");
        assert_eq!(page.contents[0].etag.as_deref(), Some("\"9b2c\""));
        assert_eq!(page.contents[0].size, 17);
        for marker in [None, Some("data/x/A"), Some("data/x/B")] {
            assert_eq!(page.next(marker), Ok(Some("data/x/C.zip")));
        }
        for marker in ["data/x/C.zip", "data/y"] {
            assert_eq!(page.next(Some(marker)), Err("its pages repeat"));
        }
        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        assert_eq!(Page::read(empty).unwrap().next(None), Ok(None));
        let endless = empty.replace("false", "true");
        assert!(Page::read(&endless).unwrap().next(None).is_err());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for text in ["", "<html><body>hello</body></html>", "<ListBucketResult><Contents>"] {
            assert!(Page::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_escaped() {
        let page = |base: &str, prefix, marker| {
            url(&Url::parse(base).unwrap(), prefix, marker).exposed().to_owned()
        };
        assert_eq!(page("http://a/b/", "data/ä b/", None), "http://a/b/?prefix=data/%C3%A4%20b/");
        assert_eq!(page("http://a", "p/", Some("p/x&y")), "http://a/?prefix=p/&marker=p/x%26y");
    }
}
