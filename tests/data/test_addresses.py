"""Imagery behind addresses reaches GDAL as it is written, also in loader processes."""

import subprocess
import sys
import zipfile

import pytest
import rasterio
import torch

from srgan_cli.data.finding import is_address, join
from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError

SERVER = """
import os, re, sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

class Ranges(SimpleHTTPRequestHandler):
    def do_GET(self):
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            return self.send_error(404)
        content = open(path, "rb").read()
        asked = re.match(r"bytes=(\\d+)-(\\d*)", self.headers.get("Range", ""))
        start, end = 0, len(content) - 1
        if asked:
            start, end = int(asked[1]), min(int(asked[2] or end), end)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.end_headers()
        self.wfile.write(content[start:end + 1])
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def served(tmp_path, monkeypatch):
    """The address of tmp_path on a web server that knows ranges."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
    server.kill()
    server.wait()
    server.stdout.close()


def same(left, right):
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def test_imagery_from_a_web_server(served, scene, config):
    path = scene("a.tif")
    here = open_training_data(config(hr=str(path), val_hr=str(path)))
    expected = list(here.train_batches(0, 2))
    for address in (f"{served}/a.tif", f"/vsicurl/{served}/a.tif"):
        there = open_training_data(config(hr=address, val_hr=str(path), num_workers=1))
        assert there.describe()[0][0] == address
        for left, right in zip(expected, there.train_batches(0, 2), strict=True):
            assert same(left, right)
    relative = open_training_data(config(root_dir=served, hr="a.tif", val_hr=str(path)))
    assert same(expected[0], next(relative.train_batches(0, 1)))
    with pytest.raises(RefusedError, match=f"Data.hr: cannot open {served}/none.tif: "):
        open_training_data(config(hr=f"{served}/none.tif"))


def test_a_vrt_and_archives(tmp_path, scene, config):
    path = scene("a.tif")
    archive = tmp_path / "scenes.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, "inner/a.tif")
    vrt = tmp_path / "a.vrt"
    with rasterio.open(path) as dataset:
        vrt.write_text(
            f'<VRTDataset rasterXSize="{dataset.width}" rasterYSize="{dataset.height}">'
            + "".join(
                f'<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename '
                f'relativeToVRT="1">a.tif</SourceFilename><SourceBand>{band}</SourceBand>'
                "</SimpleSource></VRTRasterBand>"
                for band in range(1, 5)
            )
            + "</VRTDataset>"
        )
    batches = []
    for hr in (path, vrt, f"/vsizip/{archive}/inner/a.tif", f"zip://{archive}!inner/a.tif"):
        data = open_training_data(config(hr=str(hr), val_hr=str(path)))
        batches.append(next(data.train_batches(0, 1)))
    assert all(same(batches[0], batch) for batch in batches[1:])


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("s3://bucket/a.tif", True),
        ("https://host/a.tif?key=1", True),
        ("/vsizip//data/a.zip/b.tif", True),
        ("/vsicurl_streaming/http://host/a.tif", True),
        ("NETCDF:a.nc:ndvi", True),
        ("GTIFF_DIR:2:a.tif", True),
        ("scenes/a.tif", False),
        ("/data/vsi/a.tif", False),
        ("C:/data/a.tif", False),
        ("~/a.tif", False),
        ("a:b.tif", False),
    ],
)
def test_what_is_an_address(entry, address):
    assert is_address(entry) == address
    if address:
        assert join("/base", entry) == entry


def test_where_paths_start(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert join(None, "a.tif") == "a.tif"
    assert join("set", "x/a.tif") == "set/x/a.tif"
    assert join("set", "/data/a.tif") == "/data/a.tif"
    assert join("~/set", "a.tif") == "/home/me/set/a.tif"
    assert join("set", "~/a.tif") == "/home/me/a.tif"
    assert join("s3://bucket/set/", "a.tif") == "s3://bucket/set/a.tif"


def test_patterns_of_addresses_are_refused(config):
    with pytest.raises(RefusedError, match=r"s3://bucket/\*.tif is a pattern, which addresses"):
        open_training_data(config(hr="s3://bucket/*.tif"))


def test_a_bucket_that_cannot_be_reached_is_named(config, monkeypatch):
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_S3_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setenv("AWS_HTTPS", "NO")
    with pytest.raises(RefusedError, match="Data.hr: cannot open s3://bucket/a.tif: "):
        open_training_data(config(hr="s3://bucket/a.tif"))
