"""Certificates made by openssl: an authority, and one that it has signed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from urllib.parse import urlencode

from support.programs import needed

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """`ca.pem`, and `own.pem` with `own.key`, which are valid for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._openssl("req", "-x509", *_KEY, "-days", "2", "-subj", "/CN=authority",
                      "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
        self._openssl("req", *_KEY, "-subj", "/CN=own", "-keyout", "own.key", "-out", "own.csr")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        self._openssl("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-days", "2", "-extfile", "names", "-out", "own.pem")  # fmt: skip

    @property
    def config(self) -> str:
        """Lines for redis.conf: clients need a certificate, too."""
        return (
            f"tls-cert-file {self.folder}/own.pem\ntls-key-file {self.folder}/own.key\n"
            f"tls-ca-cert-file {self.folder}/ca.pem\ntls-auth-clients yes\ntls-replication yes\n"
        )

    @property
    def options(self) -> str:
        """The options of a URL."""
        return urlencode({
            "ssl_ca_certs": f"{self.folder}/ca.pem",
            "ssl_certfile": f"{self.folder}/own.pem",
            "ssl_keyfile": f"{self.folder}/own.key",
        })  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        command = [needed("openssl"), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
