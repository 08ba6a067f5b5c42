"""Write down the words of a song with a published HeartTranscriptor, by the published flags."""

import argparse
import sys

from heartlib import HeartTranscriptorPipeline
from heartlib.errors import HeartlibError


def parse_args() -> argparse.Namespace:
    """The published flags and their defaults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model_path", default="./ckpt", help="a folder with HeartTranscriptor-oss, or nano"
    )
    parser.add_argument("--music_path", default="./assets/output.mp3")
    return parser.parse_args()


def main() -> int:
    """Load, listen, show."""
    args = parse_args()
    try:
        pipe = HeartTranscriptorPipeline.from_pretrained(args.model_path)
        heard = pipe(args.music_path)
    except HeartlibError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_status
    print(heard.write("txt"), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
