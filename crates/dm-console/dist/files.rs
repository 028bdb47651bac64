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
            etag: "\"2943011ce903bb8dc56301a4f9445a73\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/app.js")),
        },
    ),
    (
        "/app.css",
        PageFile {
            media_type: "text/css; charset=utf-8",
            policy: "default-src 'none'",
            etag: "\"f9cdbf396a9e3b7a58d2391247c4d473\"",
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
            policy: "default-src 'none'; script-src 'sha256-Sr45pOYj5+Ll2VK1iRLEbbPD7NhNleQiXjx5eDpVmTA='; style-src 'sha256-Ocbsq5vX3VY/Rx/v7F0hhfVU44J2PSK4pHMTK5Pooao='; connect-src http: https:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox allow-scripts allow-forms allow-downloads",
            etag: "\"1112b00c22eccda165d6a41af9891c27\"",
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/receipt.html")),
        },
    ),
];
