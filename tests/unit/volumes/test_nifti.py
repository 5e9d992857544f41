import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from isthmus.core.digest import digest_file
from isthmus.core.errors import ImageError
from isthmus.volumes.nifti import TooLargeError, read_header, read_image

SHAPE = (5, 6, 7)


def values(shape=SHAPE):
    return np.random.default_rng(0).integers(-500, 500, size=shape).astype(np.int16)


def saved(path: Path, voxels, affine=None, klass=nib.Nifti1Image) -> Path:
    nib.save(klass(voxels, np.eye(4) if affine is None else affine), path)
    return path


def patched(path: Path, **fields) -> Path:
    """Rewrite fields of the header, whatever they then say."""
    raw = gzip.decompress(path.read_bytes()) if path.name.endswith(".gz") else path.read_bytes()
    klass = nib.Nifti1Header if raw[:4] == b"\x5c\x01\0\0" else nib.Nifti2Header
    size = klass.sizeof_hdr
    header = klass(raw[:size], check=False)
    for name, value in fields.items():
        header[name] = value
    raw = header.binaryblock + raw[size:]
    path.write_bytes(gzip.compress(raw) if path.name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("klass", [nib.Nifti1Image, nib.Nifti2Image])
def test_reads_as_nibabel_does(tmp_path, ending, klass):
    voxels = values() * np.float64(0.25)
    image = klass(voxels, np.diag([2, 3, 4, 1.0]))
    image.set_data_dtype(np.int16)
    path = tmp_path / f"a{ending}"
    nib.save(image, path)
    ours, theirs = read_image(path), nib.load(path)
    assert theirs.dataobj.slope != 1.0
    np.testing.assert_array_equal(ours.voxels_DHW, theirs.get_fdata(dtype=np.float64).astype("f4"))
    np.testing.assert_array_equal(ours.header.space.affine, theirs.affine)
    assert ours.header.space.voxel_size_mm == (2, 3, 4)
    assert ours.header.dtype == np.int16
    assert ours.sha256 == digest_file(path)


def test_reads_the_other_byte_order(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(">i2")
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(values().astype(">i2"), np.eye(4), header), path)
    np.testing.assert_array_equal(read_image(path).voxels_DHW, values())


def test_one_frame_of_4d_is_3d(tmp_path):
    image = read_image(saved(tmp_path / "a.nii.gz", values((*SHAPE, 1))))
    np.testing.assert_array_equal(image.voxels_DHW, values((*SHAPE, 1))[..., 0])


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_scaling_is_asked_for_by_zero_or_nan(tmp_path, slope):
    path = patched(saved(tmp_path / "a.nii.gz", values()), scl_slope=slope, scl_inter=7.0)
    np.testing.assert_array_equal(read_image(path).voxels_DHW, values())


def test_intercept_is_applied(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), scl_slope=0.5, scl_inter=7.0)
    np.testing.assert_array_equal(read_image(path).voxels_DHW, values() * 0.5 + 7)


@pytest.mark.parametrize("lost", [1, 8, 9, 60, 200])
def test_truncated_gzip_is_refused(tmp_path, lost):
    path = saved(tmp_path / "a.nii.gz", values())
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ImageError, match=r"readable to its last byte.*cut short or damaged"):
        read_image(path)


def test_truncation_within_the_header_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(saved(tmp_path / "b.nii", values()).read_bytes()[:200])
    with pytest.raises(ImageError, match="begin with a whole NIfTI header"):
        read_header(path)


def test_damaged_checksum_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii.gz", values())
    raw = bytearray(path.read_bytes())
    raw[-8] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ImageError, match=r"last byte.*CRC"):
        read_image(path)


def test_truncated_plain_file_is_refused_from_its_header(tmp_path):
    path = saved(tmp_path / "a.nii", values())
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError, match="cannot hold; it is cut short"):
        read_header(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_more_than_declared_is_refused(tmp_path, ending):
    path = patched(saved(tmp_path / f"a{ending}", values()), dim=[3, 5, 6, 6, 1, 1, 1, 1])
    with pytest.raises(ImageError, match="must end where its header says"):
        read_image(path)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_absurd_sizes_are_refused_from_the_header_alone(tmp_path, ending):
    path = saved(tmp_path / f"a{ending}", values(), klass=nib.Nifti2Image)
    patched(path, dim=[3, 100_000, 100_000, 100_000, 1, 1, 1, 1])
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"declares 100000x100000x100000 voxels .*PiB"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_what_no_gzip_file_could_hold_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), dim=[3, 1000, 1000, 1000, 1, 1, 1, 1])
    with pytest.raises(ImageError, match=r"1000x1000x1000 voxels .*which a file of .* cannot hold"):
        read_header(path)


def test_memory_limit(tmp_path):
    path = saved(tmp_path / "a.nii.gz", values())
    with pytest.raises(TooLargeError, match=r"needs .*KiB of memory, and 1000 bytes are free"):
        read_image(path, memory_limit_bytes=1000)


def test_frames_are_refused(tmp_path):
    path = saved(tmp_path / "a.nii.gz", values((*SHAPE, 20)))
    with pytest.raises(ImageError, match=r"3D, or 4D with one frame, got 4D with 20 frames"):
        read_header(path)


def test_a_slice_is_refused(tmp_path):
    with pytest.raises(ImageError, match="got 2D"):
        read_header(saved(tmp_path / "a.nii.gz", values((5, 6))))
    with pytest.raises(ImageError, match="at least 4 voxels along each axis, got 5x6x1"):
        read_header(saved(tmp_path / "b.nii.gz", values((5, 6, 1))))


def test_negative_and_nonsense_dimensions_are_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), dim=[3, -5, 6, 7, 1, 1, 1, 1])
    with pytest.raises(ImageError, match="at least 4 voxels"):
        read_header(path)
    patched(path, dim=[99, 5, 6, 7, 1, 1, 1, 1])
    with pytest.raises(ImageError, match="1 to 7 axes, got 99"):
        read_header(path)


def test_complex_is_refused(tmp_path):
    path = saved(tmp_path / "a.nii.gz", values().astype(np.complex64))
    with pytest.raises(ImageError, match=r"real numbers .*got complex"):
        read_header(path)


def test_rgb_is_refused(tmp_path):
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ImageError, match=r"real numbers .*got RGB"):
        read_header(saved(tmp_path / "a.nii.gz", rgb))


def test_unknown_type_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), datatype=5)
    with pytest.raises(ImageError, match="datatype 5 is none of NIfTI's"):
        read_header(path)


def test_infinite_scaling_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), scl_slope=np.inf)
    with pytest.raises(ImageError, match="scl_slope and scl_inter must be finite, got inf"):
        read_header(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [([0, 0, 0, 0], "invertible"), ([1, 1, 0, 0], "invertible"), ([np.nan] * 4, "finite")],
)
def test_unusable_affine_is_refused(tmp_path, row, message):
    path = patched(saved(tmp_path / "a.nii.gz", values()), srow_x=[1, 1, 0, 0], srow_y=row)
    patched(path, srow_z=[0, 0, 1, 0], sform_code=1)
    with pytest.raises(ImageError, match=message):
        read_header(path)


def test_voxels_without_extent_are_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), srow_z=[0, 0, 0, 0], sform_code=1)
    with pytest.raises(ImageError, match="voxel edges above"):
        read_header(path)


def test_values_beyond_float32_are_refused(tmp_path):
    voxels = values().astype(np.float64)
    voxels[2, 2, 2] = 1e300
    with pytest.raises(ImageError, match="must fit float32"):
        read_image(saved(tmp_path / "a.nii.gz", voxels))


def test_what_is_no_nifti_is_refused(tmp_path):
    for name, content in {"a.nii.gz": gzip.compress(b"x" * 1000), "b.nii": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match="begin with a whole NIfTI header"):
            read_header(tmp_path / name)
    (tmp_path / "c.nii.gz").write_bytes(b"not gzip at all")
    with pytest.raises(ImageError, match=r"must be readable .*Not a gzipped file"):
        read_header(tmp_path / "c.nii.gz")
    with pytest.raises(ImageError, match=r"must be a \.nii or \.nii\.gz file"):
        read_header(tmp_path / "d.mgz")


def test_header_without_its_image_is_refused(tmp_path):
    path = patched(saved(tmp_path / "a.nii.gz", values()), magic=b"ni1")
    with pytest.raises(ImageError, match="single-file NIfTI"):
        read_header(path)
