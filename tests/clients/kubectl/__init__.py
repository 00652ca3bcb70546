"""kubectl's commands as a corpus: what a real server makes kubectl print, recorded once and compared with Kloster.

corpus/ holds scenarios (files and steps), golden/MINOR/ what the steps printed against a real server of that minor
(record.py), normalize.py what may differ between any two servers. A scenario runs in a namespace of its own.
"""
