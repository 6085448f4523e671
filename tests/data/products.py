"""Small Sentinel-2 products and taco files, laid out as the real ones are."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.io import MemoryFile
from rasterio.transform import Affine

BAND_IDS = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B10", "B11", "B12"]


def geotiff(pixels, pixel_m=10.0, origin=(600_000.0, 5_000_000.0), crs="EPSG:32631"):
    """A GeoTIFF of (bands, rows, cols) as bytes."""
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=pixels.shape[0],
            height=pixels.shape[1],
            width=pixels.shape[2],
            dtype=pixels.dtype.name,
            crs=crs,
            transform=Affine(pixel_m, 0, origin[0], 0, -pixel_m, origin[1]),
        ) as dataset:
            dataset.write(pixels)
        return memory.read()


def write_jp2(path, pixels, pixel_m, origin=(600_000.0, 5_000_000.0)):
    """A lossless JPEG 2000 file, as ESA writes them."""
    with MemoryFile(geotiff(pixels, pixel_m, origin)) as memory:
        rasterio.shutil.copy(memory.name, path, driver="JP2OpenJPEG", QUALITY=100, REVERSIBLE="YES")


TEN_METRES = tuple((band, 10) for band in ("B02", "B03", "B04", "B08"))


def make_product(
    folder,
    level="L2A",
    bands=(("B02", 10), ("B03", 10), ("B04", 10), ("B08", 10), ("B05", 20), ("B8A", 20)),
    offset=-1000,
    quantification=10000,
    side_10m=96,
    jp2=True,
    seed=0,
    changes=(),
):
    """A `.SAFE` folder and the digital numbers of each band; pixel (0, 0) of each is nodata.

    `bands` gives each band's pixel size. Bands of L2A that are finer than 20 m are also written
    at 20 m, as in real products. `offset` None is a baseline before 04.00. `changes` are
    replacements in the metadata.
    """
    baseline = "0400" if offset is not None else "0301"
    stamp = f"2022030{seed + 1}T103031"
    name = f"S2A_MSI{level}_{stamp}_N{baseline}_R108_T31TFJ_{stamp}.SAFE"
    root = Path(folder) / name
    rng = np.random.default_rng(seed)
    files, numbers = [], {}
    for band, pixel_m in bands:
        for size in {pixel_m, 20} if level == "L2A" and pixel_m < 20 else {pixel_m}:
            side = side_10m * 10 // size
            pixels = rng.integers(1100, 5000, (1, side, side)).astype(np.uint16)
            pixels[0, 0, 0] = 0
            image = f"T31TFJ_{stamp}_{band}"
            inside = f"GRANULE/{level}_T31TFJ_A034935_{stamp}/IMG_DATA"
            if level == "L2A":
                inside, image = f"{inside}/R{size}m", f"{image}_{size}m"
            (root / inside).mkdir(parents=True, exist_ok=True)
            path = root / inside / f"{image}.jp2"
            if jp2:
                write_jp2(path, pixels, size)
            else:
                path.write_bytes(geotiff(pixels, size))
            files.append(f"{inside}/{image}")
            if size == pixel_m:
                numbers[band] = pixels[0]
    text = _metadata(level, files, offset, quantification, baseline)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (root / f"MTD_MSI{level}.xml").write_text(text)
    return root, numbers


def _metadata(level, files, offset, quantification, baseline):
    kind, sort = ("BOA", "BOA_") if level == "L2A" else ("RADIO", "")
    offsets = "".join(
        f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>'
        for i in range(len(BAND_IDS))
    )
    images = "".join(f"<IMAGE_FILE>{file}</IMAGE_FILE>" for file in files)
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<n1:Level-{level[1:]}_User_Product '
        f'xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">'
        f"<n1:General_Info><Product_Info><PROCESSING_BASELINE>{baseline[:2]}.{baseline[2:]}"
        "</PROCESSING_BASELINE><Product_Organisation><Granule_List>"
        f'<Granule datastripIdentifier="S2A" imageFormat="JPEG2000">{images}</Granule>'
        "</Granule_List></Product_Organisation></Product_Info><Product_Image_Characteristics>"
        f'<{sort}QUANTIFICATION_VALUE unit="none">{quantification}</{sort}QUANTIFICATION_VALUE>'
        + (f"<Offset_List>{offsets}</Offset_List>" if offset is not None else "")
        + "</Product_Image_Characteristics></n1:General_Info>"
        f"</n1:Level-{level[1:]}_User_Product>"
    )


def zip_product(root, compression=zipfile.ZIP_STORED):
    """The product as the data space offers it for download: a zip that holds the folder."""
    path = root.with_name(root.name.replace(".SAFE", ".zip"))
    with zipfile.ZipFile(path, "w", compression) as archive:
        for file in sorted(root.rglob("*")):
            archive.write(file, os.path.relpath(file, root.parent))
    return path


def tortilla(parts, kind, offset):
    """Files one after the other behind a header of 200 bytes, and a parquet table of them.

    Args:
        parts: (name, bytes) of each file.
        kind: What they are: GTiff, or TORTILLA for nested ones.
        offset: Of `tortilla:offset` in the table; 0, since each table counts from its own start.
    """
    import pandas

    starts, blob = [], b""
    for _, content in parts:
        starts.append(200 + len(blob) + offset)
        blob += content
    table = pandas.DataFrame(
        {
            "tortilla:id": [name for name, _ in parts],
            "tortilla:file_format": kind,
            "tortilla:offset": starts,
            "tortilla:length": [len(content) for _, content in parts],
        }
    )
    footer = io.BytesIO()
    table.to_parquet(footer)
    header = b"#y" + (200 + len(blob)).to_bytes(8, "little")
    header += len(footer.getvalue()).to_bytes(8, "little") + (1).to_bytes(8, "little")
    return header.ljust(200, b"\0") + blob + footer.getvalue()


def write_taco(path, pairs):
    """A taco file of (lr, hr) arrays, nested as SEN2NAIP is: samples of a LR and a HR GeoTIFF."""
    samples = []
    for index, (lr, hr) in enumerate(pairs):
        scale = hr.shape[-1] // lr.shape[-1]
        origin = (600_000.0 + 10_000 * index, 5_000_000.0)
        parts = [
            ("lr", geotiff(lr, 10.0, origin)),
            ("hr", geotiff(hr, 10.0 / scale, origin)),
        ]
        samples.append((f"ROI_{index:04d}", tortilla(parts, "GTiff", 0)))
    whole = bytearray(tortilla(samples, "TORTILLA", 0))
    whole[:2] = b"WX"
    Path(path).write_bytes(whole)
    return path
