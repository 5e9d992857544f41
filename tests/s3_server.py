"""An S3-style object store on loopback, which refuses whoever does not sign with its key.

It is moto's server, reached over HTTP by the real boto3 and s3fs, as Amazon S3, MinIO or Ceph would
be. It keeps objects in memory: what a killed one held is gone, one that was frozen still has it.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import pytest

REGION = "us-east-1"
START_SECONDS = 90.0
# The first requests make the one user and the key; from then on every request must be signed.
_UNSIGNED_REQUESTS = 3
_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


class S3Server:
    """One server; a context manager that ends it."""

    def __init__(self) -> None:
        for module in ("moto", "flask_cors", "boto3", "s3fs"):
            if find_spec(module) is None:
                pytest.skip(f"{module} is not installed: pip install -e '.[dev]'")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self.key = self.secret = "nobody-yet"
        self._folder = Path(tempfile.mkdtemp(prefix="s3-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
            self._make_key()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def environment(self, **changed: str) -> dict[str, str]:
        """Say what boto3, s3fs and MLflow read from the environment to come here."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": REGION,
            # Nothing of the machine's own configuration, and no question to a cloud's own service.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            **changed,
        }

    def client(self, service: str = "s3") -> Any:
        """Open a client of boto3's own, with the server's key."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )

    def create_bucket(self, name: str) -> str:
        """Make an empty bucket and return its URL."""
        self.client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def names(self, bucket: str, prefix: str = "") -> list[str]:
        """List what a bucket holds, sorted."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        )
        return sorted(item["Key"] for page in pages for item in page.get("Contents", ()))

    def objects(self, bucket: str, prefix: str = "") -> dict[str, bytes]:
        """Fetch all that a bucket holds, by name."""
        s3 = self.client()
        return {
            name: s3.get_object(Bucket=bucket, Key=name)["Body"].read()
            for name in self.names(bucket, prefix)
        }

    def freeze(self) -> None:
        """Let it take requests and answer none."""
        assert self._process is not None, "the object store is not running"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it answer again."""
        assert self._process is not None, "the object store is not running"
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once: nothing answers any more, and its objects are gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(timeout=30)
            self._process = None

    def _start(self) -> None:
        """Start it, and wait until it answers."""
        log = self._folder / "log"
        serve = "import sys; from moto.server import main; main(sys.argv[1:])"
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                [sys.executable, "-c", serve, "-H", "127.0.0.1", "-p", str(self._port)],
                cwd=self._folder,
                stdout=written,
                stderr=written,
                env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(_UNSIGNED_REQUESTS)},
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            told = f"the object store must answer at {self.endpoint}: {log.read_text()[-4000:]}"
            assert self._process.poll() is None, told
            assert time.monotonic() < until, f"within {START_SECONDS:.0f} s {told}"
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Ask it about itself."""
        try:
            with urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5):
                return True
        except OSError:
            return False

    def _make_key(self) -> None:
        """Make the only user, who may do everything, and a key."""
        iam = self.client("iam")
        iam.create_user(UserName="isthmus")
        made = iam.create_access_key(UserName="isthmus")["AccessKey"]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [_EVERYTHING]})
        iam.put_user_policy(UserName="isthmus", PolicyName="everything", PolicyDocument=policy)
        self.key, self.secret = made["AccessKeyId"], made["SecretAccessKey"]
