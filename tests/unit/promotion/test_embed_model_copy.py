"""The copy of a registered model beside an output: of this command alone, and none left over."""

from isthmus.promotion.embedding.model_copy import folder_for_copy


def test_a_copy_goes_with_its_command_and_those_of_killed_ones_with_the_next(tmp_path):
    parts = tmp_path / "e.parts"
    left = parts / "model-left" / "bundle"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"weights")
    (parts / "part-000000.jsonl").write_text("")
    with folder_for_copy(parts) as first:
        assert not left.parent.exists()
        (first / "bundle").mkdir()
        with folder_for_copy(parts) as second:  # as another command does
            assert second != first
            assert (first / "bundle").is_dir()
        assert not second.exists()
        assert (first / "bundle").is_dir()
    assert not list(parts.glob("model-*"))
    assert (parts / "part-000000.jsonl").exists()
