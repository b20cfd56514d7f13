"""One peer engine in one process, told what to do by the bench: a JSON object a line in, one a line out.

load   {base, queries, dim, metric}     float32 files, rows one after another; metric "ip" (rows are normalised) or "l2"
build  {engine, m, efc, threads}        -> {wall, cpu, bytes}; seconds, and growth of anonymous memory
search {ef, k, seconds}                 -> {wall, cpu, queries, ids}; whole passes over the queries on one thread
"""
import gc
import json
import sys
import time

import numpy as np


def anonymous_bytes():
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


class Hnswlib:
    def __init__(self, told, base, metric):
        import hnswlib
        self.index = hnswlib.Index(space=metric, dim=base.shape[1])
        self.index.init_index(max_elements=len(base), M=told["m"], ef_construction=told["efc"], random_seed=7)
        self.index.add_items(base, num_threads=told["threads"])

    def search(self, queries, k, ef):
        self.index.set_ef(ef)
        return self.index.knn_query(queries, k=k, num_threads=1)[0]


class Faiss:
    def __init__(self, told, base, metric):
        import faiss
        self.faiss = faiss
        by = faiss.METRIC_INNER_PRODUCT if metric == "ip" else faiss.METRIC_L2
        if told["engine"] == "faiss-sq8":
            self.index = faiss.IndexHNSWSQ(base.shape[1], faiss.ScalarQuantizer.QT_8bit, told["m"], by)
        else:
            self.index = faiss.IndexHNSWFlat(base.shape[1], told["m"], by)
        self.index.hnsw.efConstruction = told["efc"]
        faiss.omp_set_num_threads(told["threads"])
        if not self.index.is_trained:
            self.index.train(base)
        self.index.add(base)

    def search(self, queries, k, ef):
        self.faiss.omp_set_num_threads(1)
        self.index.hnsw.efSearch = ef
        return self.index.search(queries, k)[1]


class Usearch:
    def __init__(self, told, base, metric):
        from usearch.index import Index
        kind = told["engine"].split("-")[1]
        self.index = Index(ndim=base.shape[1], metric="ip" if metric == "ip" else "l2sq", dtype=kind,
                           connectivity=told["m"], expansion_add=told["efc"])
        self.index.add(np.arange(len(base)), base, threads=told["threads"])

    def search(self, queries, k, ef):
        self.index.expansion_search = ef
        return self.index.search(queries, k, threads=1).keys


def make(told, base, metric):
    engine = told["engine"].split("-")[0]
    return {"hnswlib": Hnswlib, "faiss": Faiss, "usearch": Usearch}[engine](told, base, metric)


def main():
    index = base = queries = metric = None
    for line in sys.stdin:
        told = json.loads(line)
        answer = {}
        try:
            if told["do"] == "load":
                metric = told["metric"]
                base, queries = (np.fromfile(told[name], dtype=np.float32).reshape(-1, told["dim"])
                                 for name in ("base", "queries"))
            elif told["do"] == "build":
                gc.collect()
                before, wall, cpu = anonymous_bytes(), time.perf_counter(), time.process_time()
                index = make(told, base, metric)
                answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
                answer["bytes"] = anonymous_bytes() - before
            else:
                wall, cpu, done = time.perf_counter(), time.process_time(), 0
                while True:
                    ids = index.search(queries, told["k"], told["ef"])
                    done += len(queries)
                    answer = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "queries": done}
                    if answer["cpu"] >= told["seconds"]:
                        break
                answer["ids"] = np.asarray(ids).astype(int).tolist()
        except ImportError as error:
            answer = {"missing": str(error)}
        print(json.dumps(answer), flush=True)


main()
