"""A song as a picture: its waveform, its spectrogram, its sections and its words, on one axis of time."""
