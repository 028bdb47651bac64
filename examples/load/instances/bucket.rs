//! An object of 1 GiB into the bucket, beside bare `object_store` with the same server. Not out of
//! it again: moto reads a whole object for each range of it.

use std::time::Instant;

use bytes::Bytes;
use object_store::{
    ClientOptions, ObjectStoreExt, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder},
    path::Path,
};

use super::commons::Commons;
use crate::{
    objects::{SIZE, upload},
    report,
};

const MIB: usize = 1 << 20;
/// Bytes of a part, and parts that are sent at the same time, as the node does.
const PART: usize = 8 * MIB;
const PARTS: usize = 4;

pub(super) async fn measure(commons: &Commons) -> anyhow::Result<()> {
    let bare = AmazonS3Builder::new()
        // The end of an upload is one answer, for which moto puts the parts together.
        .with_client_options(ClientOptions::new().with_timeout_disabled())
        .with_bucket_name(&commons.bucket)
        .with_endpoint(commons.store.url())
        .with_allow_http(true)
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .build()?;
    let key = Path::from("bare");
    let instance = commons.start(0, None).await?;
    instance.forget_peak();
    let limit = put(&bare, &key).await?;
    let (rate, _) = upload(&instance, &instance.address).await?;
    report::line(
        "PUT of 1 GiB with a bucket",
        &format!("{rate:.0} MiB/s"),
        &format!(
            "{:.0} % of bare object_store ({limit:.0} MiB/s); goal 70 %",
            100.0 * rate / limit
        ),
    );
    report::line(
        "most resident memory with a bucket",
        &format!("{:.0} MiB", instance.memory()?.1),
        "goal 150 MiB",
    );
    instance.stop().await?;
    Ok(())
}

/// MiB/s at which an object is sent in parts.
async fn put(store: &AmazonS3, key: &Path) -> anyhow::Result<f64> {
    let piece = Bytes::from(vec![7; MIB]);
    let began = Instant::now();
    let upload = store.put_multipart(key).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
    for _ in 0..SIZE / MIB {
        upload.wait_for_capacity(PARTS).await?;
        upload.put(piece.clone());
    }
    upload.finish().await?;
    Ok((SIZE / MIB) as f64 / began.elapsed().as_secs_f64())
}
