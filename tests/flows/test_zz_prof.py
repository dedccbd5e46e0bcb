import cProfile, pstats, time
def test_prof(lab, first):
    lab.run()
    p = cProfile.Profile(); t = time.process_time(); w = time.perf_counter()
    p.enable(); r = lab.run(); p.disable()
    print("CPU", time.process_time()-t, "wall", time.perf_counter()-w, r.seconds)
    pstats.Stats(p).sort_stats("cumulative").print_stats(70)
