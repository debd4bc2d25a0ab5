//! Percent-encoding (RFC 3986, 2.1).

/// Decodes once. What is no encoding stays as it is, and bytes that are no UTF-8 are replaced.
pub(crate) fn decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        rest = others;
        let hex = others.get(..2).filter(|_| first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match byte.filter(|_| hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))) {
            Some(byte) => {
                decoded.push(byte);
                rest = others.get(2..).unwrap_or_default();
            }
            None => decoded.push(first),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes everything that could end or part a value in a query.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The decoded value of a query's first `name`, as forms have it: `+` is a space.
pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(decode(&value.replace('+', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let text = "/a b?c=d&e=f#%25+é\\";
        assert_eq!(decode(&encode(text)), text);
        let query = format!("x=1&return={}", encode(text));
        assert_eq!(query_value(&query, "return").as_deref(), Some(text));
        assert_eq!(query_value("return=a+b", "return").as_deref(), Some("a b"));
        assert_eq!(query_value(&query, "other"), None);
    }

    #[test]
    fn what_is_no_encoding_stays() {
        for text in ["%", "%4", "%zz", "100%", "%+1", "a%%"] {
            assert_eq!(decode(text), text);
        }
        assert_eq!(decode("%2525"), "%25", "it is decoded once");
    }
}
