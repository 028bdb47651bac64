//! The interface of plugins in Rust, made from its WIT.

#![allow(missing_docs, reason = "the WIT says it")]

wasmtime::component::bindgen!({
    world: "plugin",
    path: "wit",
    imports: { default: async | trappable },
    exports: { default: async },
});

/// The hook `receive`, which not every component has.
pub(crate) mod receiver {
    wasmtime::component::bindgen!({
        inline: "
            package datamgmt:node;
            world receiver {
                export datamgmt:plugin/receiving@1.0.0;
            }
        ",
        path: "wit",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "datamgmt:plugin/types@1.0.0": super::datamgmt::plugin::types },
    });
}
