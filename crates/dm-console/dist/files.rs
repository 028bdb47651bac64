// Made by web/build.mjs.
const FILES: [(&str, PageFile); 5] = [
    (
        "/",
        PageFile {
            media_type: "text/html; charset=utf-8",
            policy: "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-src 'self' blob:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            etag: "\"83b6fffc727efc582e48082300105fcb\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/index.html")),
        },
    ),
    (
        "/app.js",
        PageFile {
            media_type: "text/javascript; charset=utf-8",
            policy: "default-src 'none'",
            etag: "\"5ecf341312d021f0450ee57ae64b6cc2\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/app.js")),
        },
    ),
    (
        "/app.css",
        PageFile {
            media_type: "text/css; charset=utf-8",
            policy: "default-src 'none'",
            etag: "\"52d91b0b217b0993c314d524cac0307e\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/app.css")),
        },
    ),
    (
        "/icon.svg",
        PageFile {
            media_type: "image/svg+xml",
            policy: "default-src 'none'; sandbox",
            etag: "\"dfc41ed1506fe073c12dccdda2bce10d\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/icon.svg")),
        },
    ),
    (
        "/receipt.html",
        PageFile {
            media_type: "text/html; charset=utf-8",
            policy: "default-src 'none'; script-src 'sha256-zMVEbBjCVfpoWrHrUTlbgvOhAQgspVnQLDH7RjAA/m8='; style-src 'sha256-Ocbsq5vX3VY/Rx/v7F0hhfVU44J2PSK4pHMTK5Pooao='; connect-src http: https:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-scripts allow-forms allow-downloads",
            etag: "\"2ced4f6277ee9fa121e597e673d8298d\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/receipt.html")),
        },
    ),
];
