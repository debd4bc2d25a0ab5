//! Where a request comes from.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::HttpRequest;

/// The address of whoever asks: the one that the edge names, else whoever is connected. The edge
/// writes the header anew, so its last address is not what a client wrote.
pub(crate) fn address(request: &HttpRequest) -> IpAddr {
    let named = request.headers().get_all("x-forwarded-for").last();
    let named =
        named.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    let connected = || request.peer_addr().as_ref().map(SocketAddr::ip);
    named.or_else(connected).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_edge_says_where_a_request_comes_from() {
        let of = |values: &[&str]| {
            let mut request = TestRequest::get().peer_addr("127.0.0.1:7".parse().unwrap());
            for value in values {
                request = request.append_header(("x-forwarded-for", *value));
            }
            address(&request.to_http_request()).to_string()
        };
        assert_eq!(of(&[]), "127.0.0.1");
        assert_eq!(of(&["192.0.2.1"]), "192.0.2.1");
        assert_eq!(of(&["10.0.0.1, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(of(&["10.0.0.1", "2001:db8::1"]), "2001:db8::1");
        assert_eq!(of(&["192.0.2.1", "unknown"]), "127.0.0.1");
    }
}
