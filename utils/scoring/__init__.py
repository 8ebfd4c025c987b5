"""How good predicted events are: sed_eval's scores, PSDS, mean average precision, errors of each event."""
