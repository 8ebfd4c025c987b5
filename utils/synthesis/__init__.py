"""Data sets that are made: the demonstration from synthetic sounds, HomeMix from public recordings."""
