"""Small Sentinel-2 products as they were before December 2016: many granules, other names.

The layout is that of real ones, and the metadata are what GDAL's SENTINEL2 driver reads of them.
"""

from pathlib import Path

import numpy as np
from products import TEN_METRES, write_jp2

ORIGINS = {"T32TQM": (699_960, 5_000_040), "T32TQN": (699_960, 5_100_000)}
_STAMP = "20160605T113933"
_PRODUCT = "PDMC_20160605T170255_R108_V20160605T102026_20160605T102026"


def granule_name(tile, level="L1C"):
    return f"S2A_{_kind(level)}_MSI_{level}_TL_EPA__{_STAMP}_A004979_{tile}_N02.02"


def make_old_product(
    folder, level="L1C", tiles=("T32TQM", "T32TQN"), bands=(*TEN_METRES, ("B8A", 20)), side_10m=96
):
    """A `.SAFE` folder and the digital numbers by tile and band; pixel (0, 0) of each is nodata.

    L2A, which sen2cor made at the users', has bands finer than 20 m at 20 m too, and lies in
    folders by pixel size.
    """
    kind = _kind(level)
    root = Path(folder) / f"S2A_{kind}_PRD_MSI{level}_{_PRODUCT}.SAFE"
    rng = np.random.default_rng(0)
    numbers, listed = {}, {}
    for number, tile in enumerate(tiles):
        name = granule_name(tile, level)
        place, bare = root / "GRANULE" / name, name.removesuffix("_N02.02")
        origin = ORIGINS.get(tile, (700_000 + 1000 * number, 5_000_000))
        for band, pixel_m in bands:
            for size in {pixel_m, 20} if level == "L2A" and pixel_m < 20 else {pixel_m}:
                side = side_10m * 10 // size
                pixels = rng.integers(1100, 5000, (1, side, side)).astype(np.uint16)
                pixels[0, 0, 0] = 0
                images, image = place / "IMG_DATA", f"{bare}_{band}"
                if level == "L2A":
                    images, image = images / f"R{size}m", f"{image}_{size}m"
                images.mkdir(parents=True, exist_ok=True)
                write_jp2(images / f"{image}.jp2", pixels, size, origin)
                listed.setdefault(name, []).append(image)
                if size == pixel_m:
                    numbers.setdefault(tile, {})[band] = pixels[0]
        (place / "QI_DATA").mkdir()
        metadata = place / f"{bare.replace('_MSI_', '_MTD_')}.xml"
        metadata.write_text(_granule_metadata(name, level, origin, side_10m))
    (root / "DATASTRIP").mkdir()
    (root / "manifest.safe").write_text("<manifest/>")
    (root / "INSPIRE.xml").write_text("<inspire/>")
    text = _product_metadata(level, listed, bands)
    (root / f"S2A_{kind}_MTD_SAF{level}_{_PRODUCT}.xml").write_text(text)
    return root, numbers


def _kind(level):
    return "OPER" if level == "L1C" else "USER"


def _product_metadata(level, listed, bands):
    images, kind = ("IMAGE_ID", "") if level == "L1C" else ("IMAGE_ID_2A", "L2A_")
    quantification = (
        '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
        if level == "L1C"
        else "<L1C_L2A_Quantification_Values_List>"
        '<L2A_BOA_QUANTIFICATION_VALUE unit="none">10000</L2A_BOA_QUANTIFICATION_VALUE>'
        "</L1C_L2A_Quantification_Values_List>"
    )
    granules = "".join(
        f'<Granule_List><Granules datastripIdentifier="S2A_OPER_MSI_{level}_DS_EPA__{_STAMP}_N02.02" '
        f'granuleIdentifier="{name}" imageFormat="JPEG2000">'
        + "".join(f"<{images}>{image}</{images}>" for image in names)
        + "</Granules></Granule_List>"
        for name, names in listed.items()
    )
    named = "".join(f"<BAND_NAME>B{band[1:].lstrip('0')}</BAND_NAME>" for band, _ in bands)
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<n1:Level-{level[1:]}_User_Product '
        f'xmlns:n1="https://psd-13.sentinel2.eo.esa.int/PSD/User_Product_Level-{level[1:]}.xsd">'
        f"<n1:General_Info><{kind}Product_Info>"
        "<PRODUCT_START_TIME>2016-06-05T10:20:26.027Z</PRODUCT_START_TIME><PRODUCT_URI/>"
        "<PROCESSING_BASELINE>02.02</PROCESSING_BASELINE>"
        f"<Query_Options><Band_List>{named}</Band_List></Query_Options>"
        f"<{kind}Product_Organisation>{granules}</{kind}Product_Organisation></{kind}Product_Info>"
        f"<{kind}Product_Image_Characteristics>{quantification}</{kind}Product_Image_Characteristics>"
        f"</n1:General_Info></n1:Level-{level[1:]}_User_Product>"
    )


def _granule_metadata(name, level, origin, side_10m):
    sizes = "".join(
        f'<Size resolution="{size}"><NROWS>{side_10m * 10 // size}</NROWS>'
        f"<NCOLS>{side_10m * 10 // size}</NCOLS></Size>"
        f'<Geoposition resolution="{size}"><ULX>{origin[0]}</ULX><ULY>{origin[1]}</ULY>'
        f"<XDIM>{size}</XDIM><YDIM>-{size}</YDIM></Geoposition>"
        for size in (10, 20, 60)
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<n1:Level-{level[1:]}_Tile_ID '
        f'xmlns:n1="https://psd-13.sentinel2.eo.esa.int/PSD/S2_PDI_Level-{level[1:]}_Tile_Metadata.xsd">'
        f"<n1:General_Info><TILE_ID>{name}</TILE_ID></n1:General_Info><n1:Geometric_Info>"
        "<Tile_Geocoding><HORIZONTAL_CS_NAME>WGS84 / UTM zone 31N</HORIZONTAL_CS_NAME>"
        f"<HORIZONTAL_CS_CODE>EPSG:32631</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding>"
        f"</n1:Geometric_Info></n1:Level-{level[1:]}_Tile_ID>"
    )
