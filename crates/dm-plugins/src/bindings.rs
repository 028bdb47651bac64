//! The interface of plugins in Rust, made from its WIT.

#![allow(missing_docs, reason = "the WIT says it")]

wasmtime::component::bindgen!({
    world: "plugin",
    path: "wit",
    imports: { default: async | trappable },
    exports: { default: async },
});
