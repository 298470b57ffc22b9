//! The request-digest of RFC 7616 3.4.1.

use super::algorithm::{Algorithm, Ha1, Hex};

/// Everything the digest is computed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'a [u8],
    pub(super) uri: &'a [u8],
    pub(super) nonce: &'a [u8],
    /// `-sess`: A1 includes nonce and cnonce.
    pub(super) session: bool,
    pub(super) protection: Protection<'a>,
}

/// The qop in use.
#[derive(Debug, Clone, Copy)]
pub(super) enum Protection<'a> {
    /// RFC 2069: no qop.
    None,
    /// `auth`.
    Auth { nc: &'a [u8], cnonce: &'a [u8] },
    /// `auth-int`: the body is covered.
    AuthInt {
        nc: &'a [u8],
        cnonce: &'a [u8],
        body: &'a [u8],
    },
}

impl Request<'_> {
    pub(super) fn digest(&self, ha1: &Ha1) -> Hex {
        let algorithm = ha1.algorithm();
        let ha1 = self.session_key(algorithm, ha1);
        let ha1 = ha1.as_bytes();
        match self.protection {
            Protection::None => {
                let ha2 = algorithm.hash(&[self.method, self.uri]);
                algorithm.hash(&[ha1, self.nonce, ha2.as_bytes()])
            }
            Protection::Auth { nc, cnonce } => {
                let ha2 = algorithm.hash(&[self.method, self.uri]);
                algorithm.hash(&[ha1, self.nonce, nc, cnonce, b"auth", ha2.as_bytes()])
            }
            Protection::AuthInt { nc, cnonce, body } => {
                let body = algorithm.hash(&[body]);
                let ha2 = algorithm.hash(&[self.method, self.uri, body.as_bytes()]);
                algorithm.hash(&[ha1, self.nonce, nc, cnonce, b"auth-int", ha2.as_bytes()])
            }
        }
    }

    fn session_key(&self, algorithm: Algorithm, ha1: &Ha1) -> Hex {
        let hex = ha1.expose_hex().as_bytes();
        match (self.session, self.protection) {
            (true, Protection::Auth { cnonce, .. } | Protection::AuthInt { cnonce, .. }) => {
                algorithm.hash(&[hex, self.nonce, cnonce])
            }
            (true, Protection::None) => algorithm.hash(&[hex, self.nonce, b""]),
            (false, _) => ha1.hex(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(ha1: &Ha1, request: Request<'_>) -> String {
        request.digest(ha1).to_string()
    }

    const DIR: Request<'static> = Request {
        method: b"GET",
        uri: b"/dir/index.html",
        nonce: b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        session: false,
        protection: Protection::Auth {
            nc: b"00000001",
            cnonce: b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        },
    };

    /// RFC 7616 3.9.1.
    #[test]
    fn rfc7616_md5_and_sha256() {
        let ha1 = |algorithm| {
            Ha1::from_password(
                algorithm,
                "Mufasa",
                "http-auth@example.org",
                "Circle of Life",
            )
        };
        assert_eq!(
            response(&ha1(Algorithm::Md5), DIR),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        assert_eq!(
            response(&ha1(Algorithm::Sha256), DIR),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    /// RFC 7616 3.9.2 as erratum 4897 corrects it: SHA-512/256, not a cut SHA-512.
    #[test]
    fn rfc7616_sha512_256() {
        let ha1 = Ha1::from_password(
            Algorithm::Sha512_256,
            "J\u{e4}s\u{f8}n Doe",
            "api@example.org",
            "Secret, or not?",
        );
        let request = Request {
            method: b"GET",
            uri: b"/doe.json",
            nonce: b"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
            session: false,
            protection: Protection::Auth {
                nc: b"00000001",
                cnonce: b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
            },
        };
        assert_eq!(
            response(&ha1, request),
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
    }

    /// RFC 2617 3.5.
    #[test]
    fn rfc2617() {
        let ha1 = Ha1::from_password(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "Circle Of Life",
        );
        assert_eq!(ha1.expose_hex(), "939e7578ed9e3c518a452acee763bce9");
        let request = Request {
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: Protection::Auth {
                nc: b"00000001",
                cnonce: b"0a4f113b",
            },
            ..DIR
        };
        assert_eq!(response(&ha1, request), "6629fae49393a05397450978507c4ef1");
        // RFC 2069 as its erratum 749 corrects it.
        let ha1 = Ha1::from_password(
            Algorithm::Md5,
            "Mufasa",
            "testrealm@host.com",
            "CircleOfLife",
        );
        let request = Request {
            nonce: b"dcd98b7102dd2f0e8b11d0f600bfb0c093",
            protection: Protection::None,
            ..DIR
        };
        assert_eq!(response(&ha1, request), "1949323746fe6a43ef61f9606e7febea");
    }
}
