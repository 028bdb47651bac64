//! `Content-Disposition` ([RFC 6266](https://www.rfc-editor.org/rfc/rfc6266)): the name under
//! which data is shared, and under which it is answered.

use actix_web::http::header::{
    Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue, HeaderValue,
};
use dm_core::descriptor::ObjectName;

/// The value for data that is to be saved, under this name if it has one. It consists of
/// visible ASCII characters.
pub fn attachment(name: Option<&ObjectName>) -> String {
    let name = name.map(|name| {
        DispositionParam::FilenameExt(ExtendedValue {
            charset: Charset::Ext("UTF-8".to_owned()),
            language_tag: None,
            value: name.as_str().as_bytes().to_vec(),
        })
    });
    ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: name.into_iter().collect(),
    }
    .to_string()
}

/// The name in a value, of `filename*` rather than of `filename`; `None` where it has none.
///
/// # Errors
/// What is wrong with it; completes "Content-Disposition …".
pub fn attached_name(value: &[u8]) -> Result<Option<ObjectName>, String> {
    let not_understood = || "must be like attachment; filename*=UTF-8''report.pdf (RFC 6266)".to_owned();
    let value = HeaderValue::from_bytes(value).map_err(|_| not_understood())?;
    let disposition = ContentDisposition::from_raw(&value).map_err(|_| not_understood())?;
    let text = match (disposition.get_filename_ext(), disposition.get_filename()) {
        (Some(extended), _) => utf8(extended).ok_or_else(not_understood)?,
        (None, Some(text)) => text,
        (None, None) => return Ok(None),
    };
    let name = text.parse::<ObjectName>();
    name.map(Some)
        .map_err(|error| format!("has a name that {}", error.reason))
}

fn utf8(value: &ExtendedValue) -> Option<&str> {
    let is_utf8 = value.charset.to_string().eq_ignore_ascii_case("UTF-8");
    is_utf8.then(|| std::str::from_utf8(&value.value).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, String> {
        let name = attached_name(value)?;
        Ok(name.map(|name| name.to_string()))
    }

    #[test]
    fn the_name_of_either_form_is_read() {
        for (value, name) in [
            (
                "attachment; filename*=UTF-8''%C3%9Cbersicht%20%E2%82%AC.pdf",
                Some("Übersicht €.pdf"),
            ),
            ("attachment; filename=report.pdf", Some("report.pdf")),
            ("attachment; filename=\"a; \\\"b\\\".txt\"", Some("a; \"b\".txt")),
            (
                "attachment; filename=\"old.txt\"; filename*=utf-8'en'new.txt",
                Some("new.txt"),
            ),
            ("Attachment", None),
        ] {
            assert_eq!(read(value.as_bytes()).unwrap().as_deref(), name, "{value}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused() {
        for (value, reason) in [
            ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "path"),
            ("attachment; filename=\"..\"", "dots"),
            ("attachment; filename*=UTF-8''a%00b", "control"),
            ("attachment; filename*=UTF-8''%FF", "RFC 6266"),
            ("attachment; filename*=ISO-8859-1''%FC", "RFC 6266"),
            ("attachment; filename*=x", "RFC 6266"),
            ("attachment; filename=\"open", "RFC 6266"),
            ("attachment; filename=\"\"", "empty"),
            ("; filename=a", "RFC 6266"),
        ] {
            let refused = read(value.as_bytes()).unwrap_err();
            assert!(refused.contains(reason), "{value}: {refused}");
        }
        assert!(read(b"attachment; filename=\"\xff\"").is_err());
    }

    proptest! {
        #[test]
        fn every_name_comes_back(text in "\\PC{1,60}") {
            if let Ok(name) = text.parse::<ObjectName>() {
                let value = attachment(Some(&name));
                prop_assert!(value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
                prop_assert_eq!(attached_name(value.as_bytes()), Ok(Some(name)));
            }
        }

        #[test]
        fn no_value_makes_the_reader_panic(value in "\\PC{0,60}|attachment; filename\\*?=[\"'\\\\;=%a-zä]{0,20}") {
            let _ = attached_name(value.as_bytes());
        }
    }
}
