"""Uploads a file with tuspy, and compares what was shared with it."""

import hashlib
import os

import requests
from tusclient import client

api, key, file = (os.environ[name] for name in ("API", "API_KEY", "FILE"))
headers = {"X-API-Key": key}
with open(file, "rb") as opened:
    expected = hashlib.sha256(opened.read()).hexdigest()

# As one request, and in parts of which each has a checksum.
for options in ({}, {"chunk_size": 3_000_000, "upload_checksum": True}):
    uploader = client.TusClient(f"{api}/uploads", headers=headers).uploader(
        file,
        metadata={"recipients": os.environ["RECIPIENT"], "name": "file.bin"},
        retries=5,
        retry_delay=1,
        **options,
    )
    uploader.upload()
    answer = requests.get(uploader.url, headers=headers, timeout=60)
    assert answer.json()["data_hash"] == expected, (answer.status_code, answer.text)
print("tuspy: uploaded")
