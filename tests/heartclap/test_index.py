"""An index of a folder of real sound files, with nano's HeartCLAP."""

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from heartlib import audio
from heartlib.checkpoints import NANO
from heartlib.errors import CheckpointError, HeartlibError, UsageError
from heartlib.heartclap import HeartCLAP
from heartlib.heartclap.index import FILE, MusicIndex

RATE = 24000
SECONDS = 3
Embedded = list[int]


def tone(hertz: float, rate: int = RATE) -> np.ndarray:
    """A plucked note twice a second, mono [n]."""
    t = np.arange(SECONDS * rate) / rate
    return 0.3 * np.sin(2 * np.pi * hertz * t) * np.exp(-6 * (t % 0.5))


def hiss(seed: int = 0) -> np.ndarray:
    """Noise in beats, mono [n]."""
    t = np.arange(SECONDS * RATE) / RATE
    return 0.2 * np.random.default_rng(seed).standard_normal(len(t)) * np.exp(-20 * (t % 0.25))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """Three songs, one of them in a folder of the folder."""
    folder = tmp_path / "music"
    (folder / "more").mkdir(parents=True)
    soundfile.write(folder / "low.flac", tone(110), RATE)
    soundfile.write(folder / "high.wav", tone(880), RATE)
    soundfile.write(folder / "more" / "hiss.ogg", hiss(), RATE)
    return folder


@pytest.fixture(scope="module")
def clap() -> HeartCLAP:
    """Loaded once for all tests."""
    return HeartCLAP.from_pretrained(NANO / "HeartCLAP-oss")


@pytest.fixture(autouse=True)
def embedded(clap: HeartCLAP, monkeypatch: pytest.MonkeyPatch) -> Embedded:
    """The sample rate of each song that was embedded."""
    rates: Embedded = []
    real = HeartCLAP.embed_pieces

    def embed_pieces(model: HeartCLAP, pieces, sample_rate: int):
        rates.append(sample_rate)
        return real(model, pieces, sample_rate)

    monkeypatch.setattr(HeartCLAP, "embed_pieces", embed_pieces)
    monkeypatch.setattr(HeartCLAP, "from_pretrained", lambda *given, **named: clap)
    return rates


def counts(index: MusicIndex) -> tuple[int, int, int, int]:
    report = index.update()
    return report.new, report.changed, report.gone, report.kept


def names(index: MusicIndex) -> list[str]:
    return sorted(index.file.songs())


def test_an_update_embeds_what_is_new_and_forgets_what_is_gone(music: Path, embedded: Embedded):
    index = MusicIndex(music)
    assert counts(index) == (3, 0, 0, 0) and len(embedded) == 3
    assert names(index) == ["high.wav", "low.flac", "more/hiss.ogg"]
    assert counts(index) == (0, 0, 0, 3) and len(embedded) == 3
    soundfile.write(music / "high.wav", tone(1760), RATE)
    (music / "more" / "hiss.ogg").unlink()
    assert counts(MusicIndex(music)) == (0, 1, 1, 1) and len(embedded) == 4
    assert names(index) == ["high.wav", "low.flac"]


def test_known_content_is_not_embedded_again(music: Path, embedded: Embedded):
    index = MusicIndex(music)
    index.update()
    os.utime(music / "low.flac", ns=(1, 1))
    (music / "high.wav").rename(music / "more" / "moved.wav")
    assert counts(index) == (1, 1, 1, 1) and len(embedded) == 3
    assert names(index) == ["low.flac", "more/hiss.ogg", "more/moved.wav"]
    assert counts(index) == (0, 0, 0, 3)


def test_a_song_that_has_become_unreadable_leaves(music: Path):
    index = MusicIndex(music)
    index.update()
    (music / "high.wav").write_bytes(b"not sound")
    report = index.update()
    assert report.gone == 1 and report.kept == 2
    assert report.skipped == {"high.wav": "cannot be read as sound: Format not recognised."}
    assert "high.wav" not in names(index)


def test_search_is_exact(music: Path, clap: HeartCLAP):
    index = MusicIndex(music)
    index.update()
    for name in names(index):
        wave, rate = audio.read(music / name)
        best = index.nearest(clap.embed_audio(wave, rate).numpy())[0]
        assert best.path == music / name and abs(best.score - 1) < 1e-5
    text = clap.embed_text(["slow sad piano"])[0].numpy()
    low = clap.embed_audio(*audio.read(music / "low.flac")).numpy()
    for query, found in (
        (text, index.search("slow sad piano")),
        (text + low, index.search("slow sad piano", music / "low.flac")),
    ):
        assert [song.score for song in found] == sorted((s.score for s in found), reverse=True)
        for song in found:
            place = clap.embed_audio(*audio.read(song.path)).numpy()
            assert abs(place @ query / np.linalg.norm(query) - song.score) < 1e-5
    assert len(index.search("slow sad piano")) == 3
    assert len(index.search("slow sad piano", count=2)) == 2


def test_a_song_is_like_others_and_not_found_itself(music: Path, tmp_path: Path, embedded):
    soundfile.write(music / "near.wav", tone(115), RATE)
    index = MusicIndex(music)
    index.update()
    del embedded[:]
    found = index.search(like=music / "more" / ".." / "low.flac", count=3)
    assert found[0].path.name == "near.wav" and len(found) == 3
    assert music / "low.flac" not in [song.path for song in found]
    assert not embedded  # its place was in the index
    other = Path(shutil.copy(music / "low.flac", tmp_path / "elsewhere.flac"))
    assert index.search(like=other)[0].path == music / "low.flac"


def test_another_reader_sees_an_update(music: Path):
    writer, reader = MusicIndex(music), MusicIndex(music)
    writer.update()
    assert len(reader.search("piano")) == 3
    soundfile.write(music / "new.wav", tone(220), RATE)
    writer.update()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(reader.search, ["piano"] * 8))
    assert all(songs == found[0] and len(songs) == 4 for songs in found)


def test_any_rate_and_any_channels(tmp_path: Path):
    soundfile.write(tmp_path / "plain.wav", tone(440), RATE)
    soundfile.write(tmp_path / "low.wav", tone(440, 8000), 8000)
    soundfile.write(tmp_path / "high.wav", tone(440, 192000), 192000)
    soundfile.write(tmp_path / "six.wav", np.repeat(tone(440)[:, None], 6, axis=1), RATE)
    index = MusicIndex(tmp_path)
    assert not index.update().skipped
    found = index.search(like=tmp_path / "plain.wav")
    assert len(found) == 3 and min(song.score for song in found) > 0.9


def test_what_is_no_song_is_named(music: Path, tmp_path: Path):
    soundfile.write(music / "none.wav", np.zeros((0, 2)), RATE)
    soundfile.write(music / "silence.wav", np.zeros((RATE, 2)), RATE)
    soundfile.write(music / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    soundfile.write(music / "slow.wav", np.zeros(RATE), 1)
    (music / "empty.mp3").touch()
    (music / "text.mp3").write_text("no sound")
    (music / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    (music / "._low.flac").write_text("hidden")
    secret = tmp_path / "secret"
    secret.mkdir()
    shutil.copy(music / "low.flac", secret)
    (music / "out").symlink_to(secret)
    (music / "out.flac").symlink_to(secret / "low.flac")
    report = MusicIndex(music).update()
    assert report.new == 4 and report.others == ["cover.jpg"]
    assert report.skipped == {
        "none.wav": "cannot be embedded: audio to embed has no samples",
        "nan.wav": "cannot be embedded: audio to embed holds samples that are not finite, or far too large",
        "slow.wav": "has a sample rate of 1 Hz; 1000 to 1000000 are music",
        "empty.mp3": "is empty",
        "text.mp3": "cannot be read as sound: Format not recognised.",
        "out": "is a link, which is not followed",
        "out.flac": "is a link, which is not followed",
    }


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text")
def test_names_that_are_no_text(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9 \n1.wav")
    soundfile.write(tmp_path / "a.wav", tone(110), RATE)
    (tmp_path / "a.wav").rename(tmp_path / name)
    index = MusicIndex(tmp_path)
    assert counts(index) == (1, 0, 0, 0)
    assert index.search("piano")[0].path == tmp_path / name


def stop_at(number: int, how: Callable[[], None]) -> Callable[[int, int, str], None]:
    def progress(done: int, total: int, name: str) -> None:
        if done == number:
            how()

    return progress


def test_an_interrupted_update_goes_on(music: Path, embedded: Embedded):
    def interrupt() -> None:
        raise KeyboardInterrupt

    index = MusicIndex(music)
    with pytest.raises(KeyboardInterrupt):
        index.update(stop_at(2, interrupt))
    assert len(names(index)) == 2
    assert counts(index) == (1, 0, 0, 2) and len(embedded) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_update_leaves_a_whole_index(music: Path):
    index = MusicIndex(music)
    child = os.fork()
    if not child:
        connection = sqlite3.connect(music / FILE, isolation_level=None)

        def kill() -> None:  # in the middle of a write
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("PRAGMA cache_size = 1")
            connection.execute("DELETE FROM songs")
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            index.update(stop_at(2, kill))
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert len(names(index)) == 2
    assert counts(index) == (1, 0, 0, 2)


def test_a_folder_and_its_index_move_together(music: Path, tmp_path: Path):
    MusicIndex(music).update()
    moved = music.rename(tmp_path / "moved")
    assert counts(MusicIndex(moved)) == (0, 0, 0, 3)
    assert MusicIndex(moved).search("piano")[0].path.is_file()


def test_an_index_elsewhere(music: Path, tmp_path: Path):
    file = tmp_path / "music.sqlite"
    MusicIndex(music, file=file).update()
    assert not (music / FILE).exists()
    index = MusicIndex(file=file)
    assert counts(index) == (0, 0, 0, 3)
    assert all(song.path.is_file() for song in index.search("piano"))
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(music / "low.flac", other)
    with pytest.raises(UsageError, match=r"is of .*music, not of .*other: give another --index"):
        MusicIndex(other, file=file).update()
    assert len(names(index)) == 3


def test_folders_that_cannot_be_indexed(music: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(HeartlibError, match=r"empty holds no sound file \(wav, "):
        MusicIndex(empty).update()
    assert not list(empty.iterdir())
    with pytest.raises(UsageError, match="there is no folder"):
        MusicIndex(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"low\.flac is a file; give the folder"):
        MusicIndex(music / "low.flac")
    with pytest.raises(UsageError, match="give the folder of the music, or the file"):
        MusicIndex()
    with pytest.raises(UsageError, match="is a folder; give the name of a file"):
        MusicIndex(music, file=empty)
    with pytest.raises(HeartlibError, match=r"there is no folder .*nowhere"):
        MusicIndex(music, file=tmp_path / "nowhere" / "x.sqlite").update()
    with pytest.raises(HeartlibError, match="make it with `heartlib index DIR`"):
        MusicIndex(music).search("piano")


def test_bad_searches(music: Path):
    index = MusicIndex(music)
    index.update()
    for given, message in (
        ({}, "nothing to search for"),
        ({"text": " "}, "the text is empty"),
        ({"text": "piano", "count": 0}, "count must be 1 or more, not 0"),
        ({"like": music / "no.mp3"}, "there is no sound file"),
    ):
        with pytest.raises(UsageError, match=message):
            index.search(**given)


def test_another_model_is_refused(music: Path, tmp_path: Path, clap: HeartCLAP):
    MusicIndex(music).update()
    clap.save_pretrained(tmp_path / "float" / "HeartCLAP-oss")
    other = MusicIndex(music, model=tmp_path / "float")
    for use in (other.update, lambda: other.search("piano")):
        with pytest.raises(
            HeartlibError, match=r"made with another HeartCLAP .* or remove the index"
        ):
            use()
    assert len(names(MusicIndex(music))) == 3
    with pytest.raises(HeartlibError, match="there is no HeartCLAP in"):
        MusicIndex(music, model=tmp_path)


def test_a_damaged_model_is_told_and_not_of_each_song(music: Path, tmp_path: Path, monkeypatch):
    broken = Path(shutil.copytree(NANO / "HeartCLAP-oss", tmp_path / "broken"))
    os.truncate(broken / "model.safetensors", 100_000)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        MusicIndex(music, model=broken).update()


def foreign(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()


def newer(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "made", "message"),
    [
        (foreign, False, "not a database of heartlib.*give another file with --index"),
        (lambda file: file.write_text("my notes"), False, "not a database.*give another file"),
        (lambda file: os.truncate(file, 3000), True, "damaged: remove it and run `heartlib index`"),
        (newer, True, "has format 2 and this heartlib reads 1: remove it"),
    ],
)
def test_files_that_are_no_index(music: Path, spoil: Callable, made: bool, message: str):
    file = music / FILE
    if made:
        MusicIndex(music).update()
    spoil(file)
    before = file.read_bytes()
    for use in (MusicIndex(music).update, lambda: MusicIndex(music).search("piano")):
        with pytest.raises(HeartlibError, match=message):
            use()
    assert file.read_bytes() == before


def test_a_locked_index(music: Path, monkeypatch: pytest.MonkeyPatch):
    MusicIndex(music).update()
    monkeypatch.setattr("heartlib.heartclap.index_file.WAIT_SECONDS", 0.1)
    soundfile.write(music / "new.wav", tone(220), RATE)
    other = sqlite3.connect(music / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(HeartlibError, match="another program writes it; try again"):
        MusicIndex(music).update()
    assert len(MusicIndex(music).search("piano")) == 3  # reading goes on
    other.close()
