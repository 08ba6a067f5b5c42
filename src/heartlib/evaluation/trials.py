"""Six kinds of song with the same words everywhere, and tags that differ in one thing."""

from heartlib.evaluation.pieces import Piece

WORDS = """[Intro]

[Verse]
the morning light is on the sea
you bring a silver song to me
the river runs beneath the stone
and no one has to walk alone

[Chorus]
carry the summer in your hand
over the hills and over the sand

[Outro]"""
NO_WORDS = "[Intro]\n\n[Instrumental]\n\n[Instrumental]\n\n[Outro]"
TAGS = {
    "female": "pop,female,happy,piano,medium",
    "male": "pop,male,happy,piano,medium",
    "guitar": "pop,female,happy,guitar,medium",
    "fast": "pop,female,happy,piano,fast",
    "slow": "pop,female,happy,piano,slow",
    "instrumental": "pop,instrumental,happy,piano,medium",
}
"""`female` is also the piano beside `guitar`."""
FIRST_SEED = 1


def trials(seeds: int, length: float) -> list[Piece]:
    """Each kind with `seeds` seeds, at most `length` seconds long; one seed after the other."""
    return [
        Piece(
            kind,
            f"{kind}-{seed}",
            tags,
            WORDS if kind != "instrumental" else NO_WORDS,
            seed,
            length,
        )
        for seed in range(FIRST_SEED, FIRST_SEED + seeds)
        for kind, tags in TAGS.items()
    ]
