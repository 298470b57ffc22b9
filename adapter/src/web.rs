//! The pages that are part of the executable.

use actors::Asset;
use bytes::Bytes;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// The page, style or script at `path`.
pub(crate) fn asset(path: &str) -> Option<Asset> {
    let (content_type, body): (_, &'static [u8]) = match path {
        "/phone" => (HTML, include_bytes!("../web/phone.html")),
        "/phone/phone.css" => (CSS, include_bytes!("../web/phone.css")),
        "/phone/phone.js" => (JAVASCRIPT, include_bytes!("../web/phone.js")),
        "/phone/ring.js" => (JAVASCRIPT, include_bytes!("../web/ring.js")),
        "/phone/words.js" => (JAVASCRIPT, include_bytes!("../web/words.js")),
        "/phone/sip.js" => (JAVASCRIPT, include_bytes!("../web/sip.js")),
        _ => return None,
    };
    Some(Asset {
        content_type,
        body: Bytes::from_static(body),
    })
}
