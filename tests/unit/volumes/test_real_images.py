import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.experiment import NormalisationConfig
from isthmus.config.load import Experiment, resolve
from isthmus.volumes.fidelity import cnr, normalised_difference, ssim
from isthmus.volumes.ingest import ingest
from isthmus.volumes.intensity import fit_normaliser
from isthmus.volumes.store import open_store
from isthmus.volumes.tissue import split_tissue


def study(folder, tmp_path, modalities, ids, **settings):
    content = {
        "cohort": {
            "root": str(folder),
            "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
            "modalities": list(modalities),
            "lockbox_share": 0.0,
            **settings.pop("cohort", {}),
        },
        "execution": {"store": "store", "ingest_processes": 1},
        **settings,
    }
    table = pd.DataFrame(index=pd.Index(ids, name="participant_id"))
    return Experiment(resolve(content), tmp_path), Participants(table)


def test_coregistered_maps(shared_data, tmp_path):
    folder = shared_data / "ixi"
    ids = sorted(path.name for path in folder.glob("sub-*"))[:4]
    names = ("T1w", "JAC", "GM", "WM")
    report = ingest(*study(folder, tmp_path, names, ids, cohort={"mask": "mask.nii.gz"}))
    assert (report.n_accepted, report.grid) == (4, (64, 80, 64))
    assert report.verdicts[0].dtype == "int16"
    store = open_store(report.store_url)
    assert 1 < store.read(ids[0], ["T1w"]).max() < 5
    fitted = fit_normaliser(store, ids[:3], names, NormalisationConfig())
    held_out = store.read(ids[3], names)
    back_MDHW = fitted.invert(fitted.apply(held_out), held_out)
    split = split_tissue(held_out[0], fitted.mask_DHW)
    csf, grey, white = split.means
    assert csf < grey < white
    assert white == pytest.approx(1.0, abs=0.15)
    assert 1 < cnr(held_out[0], split.grey_DHW, split.white_DHW) < 10
    assert 0 < normalised_difference(held_out[0], back_MDHW[0], fitted.mask_DHW) < 0.5
    assert 0.2 < ssim(held_out[0], back_MDHW[0], fitted.mask_DHW, 1.5) < 1


def test_full_resolution_is_resampled_when_asked(shared_data, tmp_path):
    folder = shared_data / "ms_fullres"
    names, ids = ("T1w", "FLAIR"), ["sub-cs19", "sub-cs26"]
    report = ingest(
        *study(folder, tmp_path, names, ids, volumes={"resample": True, "voxel_size_mm": [2, 2, 2]})
    )
    assert (report.n_accepted, report.grid) == (2, (91, 109, 91))
    store = open_store(report.store_url)
    brain_ml = np.mean([8 * (store.read(name, ["T1w"]) > 0.05).sum() / 1000 for name in ids])
    assert 1000 < brain_ml < 2500
